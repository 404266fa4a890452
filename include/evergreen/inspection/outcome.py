"""The label on a sample: each row to be predicted beside its outcome, and when that was known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.features.labels import label_by
from evergreen.inspection.samples import Sample
from evergreen.sql import quote

if TYPE_CHECKING:
    import numpy as np

    from evergreen.params import Params

    Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Outcome:
    """One entry a sampled row of `prediction.rows`."""

    rows: Sample
    labels: Sample
    time: Column  # datetime64: when it is predicted
    known: Column  # datetime64: since when the row is known
    place: Column  # int64: its row in `labels`, -1 where there is none
    label: Column  # float64: 1, 0, or NaN without a label
    label_known: Column  # datetime64: when the label is known
    own_table: bool  # the label stands in the row itself

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
    value = _as_float(labels, label.value)
    known = labels.known_at()
    if label.known_at is not None:
        mature = labels.moments(label.known_at, "prediction.label.known_at")
        known = np.where(np.isnat(mature) | np.isnat(known), mature, np.maximum(mature, known))
    found = place >= 0
    return Outcome(
        rows, labels, time, rows.known_at(), place,
        np.where(found, value[place], np.nan) if len(value) else np.full(rows.rows, np.nan),
        np.where(found, known[place], np.datetime64("NaT", "us")) if len(known) else np.full_like(time, "NaT"),
        own_table,
    )  # fmt: skip


def _as_float(labels: Sample, text: str) -> Column:
    found = labels.evaluate({"x": (text, "prediction.label.value")}, "BOOLEAN")["x"]
    value: Column = found.cast("int8").cast("float64").to_numpy()
    return value


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
