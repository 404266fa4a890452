"""One window of one champion: its labels, the predictions that they meet, and what is missing on either side."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from evergreen.clock import naive
from evergreen.errors import RegistryError
from evergreen.lake.predictions import read_predictions
from evergreen.monitoring.labelled import moments, outcomes_astray
from evergreen.monitoring.late import labels_by_day
from evergreen.monitoring.performance import performance
from evergreen.monitoring.records import Performance
from evergreen.monitoring.span import whole_days
from evergreen.project import Project
from evergreen.registry.bundle import load_bundle
from evergreen.training.predictions import as_array

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from evergreen.params.prediction import Label

KNOWN = "_label_first_known_at"  # a correction or a re-send does not move it
_TICK = timedelta(microseconds=1)  # the resolution of moments in tables


class Measured(NamedTuple):
    """The numbers of a window, and the inputs of the champion's rows in it."""

    performance: Performance
    first_day: date | None
    last_day: date | None
    complete_days: int
    unpredicted: int
    unlabelled: int
    predecessors: dict[str, Performance]
    inputs: pa.Table  # a column a feature
    labels: dict[date, int]  # of the window, predicted or not, by the local day on which they were known
    before: dict[date, int]  # the same of all labels before the window
    said: NDArray[np.float64]  # the champion's predictions of the judged rows
    strays: dict[str, int]  # outcomes first known in the window that no label can be, and of how many rows


def measure(served: Project, build: str, start: datetime, end: datetime, zone: ZoneInfo) -> Measured:
    """Join the labels that were first known in (start, end] with the predictions of `build` and of those before it.

    `served` has the champion's label (see `as_served`), `zone` the days. A label's value is the one known at `end`; one
    that is corrected later stays in the window in which it was first known.
    """
    label = served.params.prediction.label
    rows, astray = moments(served, end), outcomes_astray(served, start, end)
    old = rows[KNOWN] <= naive(start)
    due = _frame(rows.filter(~old).order_by("_time", "_key"))  # one order, so that sums give the same bits
    before = labels_by_day(_frame(rows.filter(old).select(KNOWN))[KNOWN], zone)
    if due.empty:
        nothing = due.assign(p=0.0)
        measured = performance_of(nothing, label)
        p = nothing["p"].to_numpy()
        return Measured(measured, None, None, 0, 0, 0, {}, _no_inputs(), {}, before, p, astray)
    said = _predictions(served, build, _utc(due["_time"].min()), min(_utc(due["_time"].max()), end))
    judged = due.merge(said, on="_key", how="left", validate="1:1")
    own = judged[judged["build"] == build]
    others = judged[judged["build"].notna() & (judged["build"] != build)]
    days = _days(own[KNOWN], zone)
    return Measured(
        performance=performance_of(own, label),
        first_day=days[0] if days else None,
        last_day=days[-1] if days else None,
        complete_days=len(set(days).intersection(whole_days(start, end, zone))),
        unpredicted=int(judged["build"].isna().sum()),
        unlabelled=_unlabelled(said[said["build"] == build], rows, own),
        predecessors={
            str(name): performance_of(group, label, says_alike(served, str(name), label))
            for name, group in others.groupby("build")
        },
        inputs=_inputs(served, build, own),
        labels=labels_by_day(due[KNOWN], zone),
        before=before,
        said=as_array(own["p"], label.n_classes),
        strays=astray,
    )


def _predictions(served: Project, build: str, first: datetime, last: datetime) -> pd.DataFrame:
    """One prediction a row, made at a moment in [first, last]: the champion's, else the newest of another build."""
    columns = ["_key", "_time", "_scored_as_of", "build", "p"]
    frame: pd.DataFrame = read_predictions(served.lake, first - _TICK, last, columns=columns).to_pandas()
    frame["_own"] = frame["build"] == build
    frame = frame.sort_values(["_key", "_own", "_scored_as_of", "_time", "build"])
    return frame.drop_duplicates("_key", keep="last")[["_key", "_time", "build", "p"]].rename(
        columns={"_time": "_made"}
    )


def _unlabelled(said: pd.DataFrame, rows: ir.Table, judged: pd.DataFrame) -> int:
    """The predictions made between the judged ones whose label is not known: cancelled, lost or late."""
    if judged.empty:
        return 0
    between = said[said["_made"].between(judged["_made"].min(), judged["_made"].max())]
    near = rows.filter(rows["_time"] >= judged["_time"].min().to_pydatetime()).select("_key")
    return int((~between["_key"].isin(_frame(near)["_key"])).sum())


def _inputs(served: Project, build: str, own: pd.DataFrame) -> pa.Table:
    """The stored inputs of the judged rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if own.empty:
        return _no_inputs()
    after, until = _utc(own["_made"].min()) - _TICK, _utc(own["_made"].max())
    stored = read_predictions(served.lake, after, until, build=build, columns=["_key", "inputs"])
    chosen = stored.filter(pc.is_in(stored["_key"], value_set=pa.array(own["_key"], pa.string())))
    return pa.Table.from_struct_array(chosen["inputs"])


def _no_inputs() -> pa.Table:
    import pyarrow as pa

    return pa.table({})


def says_alike(served: Project, build: str, label: Label) -> bool:
    """Whether the build's predictions list the label's classes in the same order; unknown is not alike."""
    if not label.classes:
        return True
    try:
        return load_bundle(served.home, served.name, build).training.classes == label.classes
    except RegistryError:  # `evergreen gc` may have removed it
        return False


def performance_of(frame: pd.DataFrame, label: Label, alike: bool = True) -> Performance:
    """The rows' predictions against their labels; all unknown where a build said something of another label."""
    import numpy as np

    p = np.full((len(frame), label.n_classes) if label.n_classes else len(frame), np.nan)
    if alike:
        with suppress(ValueError):
            p = as_array(frame["p"], label.n_classes)
    return performance(frame["_label"].to_numpy(dtype="float64"), p, label.kind, label.classes or ())


def _days(known: pd.Series[pd.Timestamp], zone: ZoneInfo) -> list[date]:
    """The local days of UTC moments, in order."""
    local = known.dt.tz_localize("UTC").dt.tz_convert(zone)
    return sorted(set(local.dt.date))


def _utc(moment: datetime) -> datetime:
    """A table's moment, aware."""
    return moment.replace(tzinfo=UTC)


def _frame(table: ir.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pyarrow().to_pandas()
    return frame
