from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from evergreen.monitoring.late import arrived_late, labels_by_day
from evergreen.monitoring.records import Record
from evergreen.monitoring.span import whole_days, window_at
from tests.contracts.test_rules import record

ZONE = ZoneInfo("America/New_York")
END = datetime(2024, 3, 11, 4, tzinfo=UTC)  # midnight, on the day after the clocks went forward
WEEK = timedelta(days=7)


def window(end: datetime, labels: dict[date, int] | None, length: timedelta = WEEK) -> Record:
    start, end = window_at(end, length, ZONE)
    return record(start=start, end=end, labels=labels)


def test_a_label_known_at_midnight_is_of_the_day_before_as_it_is_of_the_window_before() -> None:
    known = pd.Series([END, END + timedelta(microseconds=1), END - timedelta(days=1)]).dt.tz_localize(None)

    assert labels_by_day(known, ZONE) == {date(2024, 3, 9): 1, date(2024, 3, 10): 1, date(2024, 3, 11): 1}


def test_only_what_no_record_counted_is_late() -> None:
    days = whole_days(*window_at(END, WEEK, ZONE), ZONE)
    now = dict.fromkeys(days, 10) | {date(2024, 3, 1): 99, date(2024, 3, 11): 99}

    assert len(days) == 7
    assert arrived_late(now, [], END, ZONE) == 0
    assert arrived_late(now, [window(END, dict.fromkeys(days, 10))], END, ZONE) == 0
    assert arrived_late(now, [window(END, dict.fromkeys(days[1:], 8))], END, ZONE) == 10 + 6 * 2
    assert arrived_late(now, [window(END, None)], END, ZONE) == 0, "a record of an older version kept no counts"


def test_a_day_that_a_later_window_counted_is_not_late() -> None:
    days = whole_days(*window_at(END, WEEK, ZONE), ZONE)
    now = dict.fromkeys(days, 10)
    one = window(END, dict.fromkeys(days[:-1], 10) | {days[-1]: 4})
    following = window(END + timedelta(days=1), {days[-1]: 10})

    assert arrived_late(now, [one], END, ZONE) == 6
    assert arrived_late(now, [one, following], END, ZONE) == 0
    assert arrived_late(now, [one], END - timedelta(days=1), ZONE) == 0, "the day is in the window that is judged now"
