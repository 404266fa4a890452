"""The calendar of a backtest: local midnights at which periods begin, retrains are due and windows end."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from evergreen.clock import back, midnight


@dataclass(frozen=True)
class Period:
    """Moments in [start, end); `label` is `2013-04`, or the first day of a week or of a begun month."""

    label: str
    start: datetime
    end: datetime


def periods(start: datetime, end: datetime, kind: str, zone: ZoneInfo) -> list[Period]:
    """Cut [start, end) into calendar months or into weeks from `start` on; the first and the last may be shorter."""
    if start >= end:
        return []
    begins = [start, *(months if kind == "month" else steps)(start, end, zone)]
    ends = [*begins[1:], end]
    return [Period(_label(one, kind, zone), one, last) for one, last in zip(begins, ends, strict=True)]


def months(start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """The midnights in (start, end) at which a month begins."""
    first = start.astimezone(zone).date()
    year, month = first.year, first.month
    found: list[datetime] = []
    while True:
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        moment = midnight(date(year, month, 1), zone)
        if moment >= end:
            return found
        found.append(moment)


def steps(start: datetime, end: datetime, zone: ZoneInfo, step: timedelta = timedelta(days=7)) -> list[datetime]:
    """The moments in (start, end) that lie a whole number of steps after `start`, on the local calendar."""
    found: list[datetime] = []
    count = 1
    while (moment := back(start, -count * step, zone)) < end:
        found.append(moment)
        count += 1
    return found


def months_before(moment: datetime, count: int, zone: ZoneInfo) -> datetime:
    """The local midnight of the same day `count` months earlier, or of that month's last day."""
    day = moment.astimezone(zone).date()
    year, month = divmod(day.year * 12 + day.month - 1 - count, 12)
    last = monthrange(year, month + 1)[1]
    return midnight(date(year, month + 1, min(day.day, last)), zone)


def _label(start: datetime, kind: str, zone: ZoneInfo) -> str:
    day = start.astimezone(zone).date()
    return f"{day:%Y-%m}" if kind == "month" and day.day == 1 else f"{day}"
