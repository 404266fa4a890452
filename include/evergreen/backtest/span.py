"""From when to when is replayed: as configured, else from the first moment with enough labels to the last row."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from evergreen import clock
from evergreen.backtest.history import History
from evergreen.backtest.moments import Period, months, periods, steps
from evergreen.errors import EvergreenError
from evergreen.params import Params
from evergreen.training.splits import split

LEAST = 2  # periods: one that the first model serves alone, and one after a retrain


def replayed_periods(history: History, params: Params) -> list[Period]:
    """The periods that are replayed. Raises EvergreenError where they are fewer than LEAST, and says what is there."""
    wanted, zone = params.backtest, params.zone
    labelled = history.meta["_time"][history.labelled()]
    if labelled.empty:
        raise EvergreenError(
            f"none of the {len(history.meta)} rows has a label: ingest `{params.label_table}`, or look at "
            "prediction.label in params.yaml"
        )
    first, last = (moment.to_pydatetime().replace(tzinfo=UTC) for moment in (labelled.min(), labelled.max()))
    there = f"rows with a label are there from {_day(first, params)} to {_day(last, params)}"
    close = clock.ceil_day(last, zone)
    end = min(close, _midnight(wanted.end, params) or close)
    start = _midnight(wanted.start, params) or _first_start(history, params, first, end)
    if start >= (_midnight(wanted.end, params) or close):
        raise EvergreenError(
            f"backtest.start {_day(start, params)} is not before its end {_day(end, params)}: {there}; change "
            "backtest.start or backtest.end in params.yaml"
        )
    found = periods(start, end, wanted.period, zone)
    if len(found) < LEAST:
        other = "" if wanted.period == "week" else " or set backtest.period to `week`,"
        raise EvergreenError(
            f"a backtest needs at least {LEAST} {wanted.period}s, one that the first model serves alone and one after "
            f"a retrain; from its start {_day(start, params)} to its end {_day(end, params)} there are {len(found)}, "
            f"and {there}. Start earlier,{other} or wait for more labels"
        )
    return found


def _first_start(history: History, params: Params, first: datetime, end: datetime) -> datetime:
    """The first begin of a period before which a model can be trained whose twin saw a gate window's worth of days."""
    zone, window = params.zone, params.gate.window
    begins = months if params.backtest.period == "month" else steps
    opening = clock.back(clock.floor_day(first, zone), -2 * window, zone)
    why: Any = None
    for moment in begins(clock.floor_day(first, zone), end, zone):
        if moment < opening:
            continue
        try:
            split(history.known_at(moment), params)
        except EvergreenError as error:
            why = error
            continue
        return moment
    raise EvergreenError(
        f"a backtest needs labels of two gate windows before it starts, until {_day(opening, params)}, and at least "
        f"{LEAST} {params.backtest.period}s after that; rows with a label end at {_day(end, params)}"
        + (f". At the last moment tried: {why}" if why else "")
        + ". Wait for more labels, set backtest.start, or shorten gate.window or backtest.period"
    )


def _midnight(day: str | None, params: Params) -> datetime | None:
    return None if day is None else clock.midnight(date.fromisoformat(day), params.zone)


def _day(moment: datetime, params: Params) -> str:
    return f"{moment.astimezone(params.zone):%Y-%m-%d}"
