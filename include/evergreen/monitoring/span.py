"""The span of a window: whole local days, whatever the hour of the run and whatever the clocks do."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from evergreen.clock import back, floor_day, midnight


def window_at(as_of: datetime, length: timedelta, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Start and end of the window of every run on the local day of `as_of`: it ends where that day begins."""
    end = floor_day(as_of, zone)
    start = back(end, length, zone)
    # On a day that has no midnight the same hour a week before is none either.
    return (start if length % timedelta(days=1) else floor_day(start, zone)), end


def whole_days(start: datetime, end: datetime, zone: ZoneInfo) -> list[date]:
    """The local days that lie in the span from midnight to midnight."""
    first = start.astimezone(zone).date()
    days = [first + timedelta(days=n) for n in range((end - start) // timedelta(days=1) + 3)]
    return [day for day in days if midnight(day, zone) >= start and midnight(day + timedelta(days=1), zone) <= end]
