"""The label on a sample: each row to be predicted beside its outcome, and when that was known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.features.labels import label_by
from evergreen.inspection.samples import Sample
from evergreen.sql import quote

if TYPE_CHECKING:
    import numpy as np

    from evergreen.params import Params
    from evergreen.params.prediction import Label

    Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outcome:
    """One entry a sampled row of `prediction.rows`."""

    rows: Sample
    labels: Sample
    time: Column  # datetime64: when it is predicted
    known: Column  # datetime64: since when the row is known
    place: Column  # int64: its row in `labels`, -1 where there is none
    label: Column  # float64: 1 or 0, the place of a class, or a number; NaN without a label
    label_known: Column  # datetime64: when the label is known
    own_table: bool  # the label stands in the row itself
    spec: Label  # as params.yaml has it
    astray: Mapping[str, int]  # what no label can be, and in how many rows of the label's table

    @property
    def labelled(self) -> Column:
        """A mask of the rows that have a label."""
        import numpy as np

        return ~np.isnan(self.label)

    @property
    def settled(self) -> Column:
        """A mask of the rows whose label the sample would hold, if they ever got one.

        Either table's sample is cut off somewhere: only rows before (nearly) the last one with a label are asked.
        """
        import numpy as np

        times = self.time[self.labelled & ~np.isnat(self.time)]
        if self.own_table or not len(times):
            return np.ones(len(self.label), dtype=bool)
        last = np.quantile(times.astype("int64"), 0.98).astype("datetime64[us]")
        reached: Column = self.time <= last
        return reached


def find_outcome(params: Params, rows: Sample, labels: Sample) -> Outcome:
    """Join the two samples as `features.labels` joins the tables; of several rows for one key, the last."""
    import numpy as np

    label, own_table = params.prediction.label, rows.name == labels.name
    time = rows.moments(params.prediction.at, "prediction.at")
    place = np.arange(rows.rows) if own_table else _join(params, rows, labels)
    value, astray = _as_float(labels, label)
    known = labels.known_at()
    if label.known_at is not None:
        mature = labels.moments(label.known_at, "prediction.label.known_at")
        known = np.where(np.isnat(mature) | np.isnat(known), mature, np.maximum(mature, known))
    found = place >= 0
    return Outcome(
        rows, labels, time, rows.known_at(), place,
        np.where(found, value[place], np.nan) if len(value) else np.full(rows.rows, np.nan),
        np.where(found, known[place], np.datetime64("NaT", "us")) if len(known) else np.full_like(time, "NaT"),
        own_table, label, astray,
    )  # fmt: skip


def _as_float(labels: Sample, label: Label) -> tuple[Column, dict[str, int]]:
    """The outcome of each row of the label's table as `features.outcomes` makes a number of it, and what is none."""
    import numpy as np
    import pandas as pd

    types = {"binary": "BOOLEAN", "multiclass": "VARCHAR", "regression": "DOUBLE"}
    found = labels.evaluate({"x": (label.value, "prediction.label.value")}, types[label.kind])["x"]
    if label.kind == "binary":
        value: Column = found.cast("int8").cast("float64").to_numpy()
        return value, {}
    if label.kind == "regression":
        value = found.to_numpy().astype("float64")
        return np.where(np.isinf(value), np.nan, value), _counted(value[np.isinf(value)])
    said = found.to_pandas().astype("object")
    places = {name: float(place) for place, name in enumerate(label.classes or ())}
    value = said.map(places).to_numpy(dtype="float64", na_value=np.nan)
    return value, _counted(said[pd.notna(said) & np.isnan(value)])


def _counted(values: Any) -> dict[str, int]:
    """How often each of the values is there, the most frequent first."""
    return {str(value): count for value, count in Counter(list(values)).most_common()}


def _join(params: Params, rows: Sample, labels: Sample) -> Column:
    """For each row the place of its label's row."""
    import numpy as np

    by = label_by(params)
    theirs = labels.evaluate({f"k{i}": (quote(name), "prediction.label.by") for i, name in enumerate(by)}).to_pandas()
    mine = rows.evaluate({f"k{i}": (quote(name), "prediction.label.by") for i, name in enumerate(by.values())})
    keys = list(theirs.columns)
    theirs["place"] = np.arange(len(theirs))
    theirs = theirs.dropna(subset=keys).drop_duplicates(keys, keep="last")
    found: Column = mine.to_pandas().merge(theirs, how="left", on=keys)["place"].fillna(-1).to_numpy().astype("int64")
    return found
