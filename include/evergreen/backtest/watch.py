"""The monitor in a backtest: the same records and rules, on the champion's predictions and the labels known by then.

A drift rule is not replayed: it stays unknown, as one without a report is, and asks for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evergreen.backtest.history import History
from evergreen.clock import naive
from evergreen.monitoring.performance import performance
from evergreen.monitoring.records import Record, Reference
from evergreen.monitoring.rules import judge
from evergreen.monitoring.span import whole_days, window_at
from evergreen.params import Params

if TYPE_CHECKING:
    import pandas as pd


def record(
    history: History,
    params: Params,
    as_of: datetime,
    champion: tuple[str, datetime, Any, Reference],
    earlier: Sequence[Record],
) -> Record:
    """The champion's window that ends at `as_of`, with what the rules say of it, as the stage `monitor` records it.

    `champion` is its name, its promotion, its predictions of the history's rows and its reference. It served the rows
    from its promotion on. `earlier` are its records before.
    """
    build, promoted, p, reference = champion
    monitoring, zone = params.monitoring, params.zone
    start, end = window_at(as_of, monitoring.window, zone)
    meta = history.meta
    due = _between(meta["_label_first_known_at"], start, end) & (meta["_label_known_at"] <= naive(end)).to_numpy()
    own = due & (meta["_time"] >= naive(promoted)).to_numpy()
    days = _days(meta["_label_first_known_at"][own], params)
    held = whole_days(start, end, zone)
    complete = len(set(days).intersection(held))
    min_days = len(held) if monitoring.min_days is None else min(monitoring.min_days, len(held))
    label = params.prediction.label
    labels = meta["_label"].to_numpy(dtype="float64")[own]
    found = performance(labels, p[own], label.kind, label.classes or ())
    made = Record(
        **found.model_dump(), build=build, version=None, start=start, end=end,
        first_day=days[0] if days else None, last_day=days[-1] if days else None, complete_days=complete,
        mature=found.rows >= monitoring.min_rows and complete >= min_days, min_rows=monitoring.min_rows,
        min_days=min_days, unpredicted=0, unlabelled=0, reference=reference,
    )  # fmt: skip
    if not made.mature:
        return made
    return made.model_copy(update={"rules": judge(monitoring.rules, [*earlier, made], reference)})


def _between(known: pd.Series[Any], start: datetime, end: datetime) -> Any:
    return ((known > naive(start)) & (known <= naive(end))).to_numpy()


def _days(known: pd.Series[Any], params: Params) -> list[Any]:
    """The local days of UTC moments, in order."""
    return sorted(set(known.dt.tz_localize(UTC).dt.tz_convert(params.zone).dt.date))
