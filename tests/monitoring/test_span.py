from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from evergreen.monitoring.span import whole_days, window_at

WEEK = timedelta(days=7)


@pytest.mark.parametrize("month", [3, 11])
def test_the_shipped_cron_gives_whole_weeks_that_meet_also_when_clocks_change(month: int) -> None:
    zone = ZoneInfo("America/New_York")
    mondays = [datetime(2013, month, 4, 5, 30, tzinfo=UTC) + n * WEEK for n in range(4)]
    spans = [window_at(monday, WEEK, zone) for monday in mondays]

    assert all(one[1] == following[0] for one, following in pairwise(spans))
    assert [len(whole_days(*span, zone)) for span in spans] == [7] * 4
    assert {end.astimezone(zone).hour for _, end in spans} == {0}
    assert spans[0] == window_at(mondays[0] - timedelta(minutes=30), WEEK, zone)


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "America/Havana", "Asia/Beirut", "UTC", "Asia/Kolkata"])
def test_days_follow_each_other_all_year_where_midnight_is_skipped_or_comes_twice(zone: str) -> None:
    begin, here = datetime(2013, 1, 2, 15, tzinfo=UTC), ZoneInfo(zone)
    for days in (1, 7):
        length = timedelta(days=days)
        spans = [window_at(begin + n * timedelta(days=days), length, here) for n in range(364 // days)]
        assert all(one[1] == following[0] for one, following in pairwise(spans))
        assert {len(whole_days(*span, here)) for span in spans} == {days}


def test_a_window_of_hours_holds_no_whole_day() -> None:
    assert (
        whole_days(
            *window_at(datetime(2013, 3, 4, 9, tzinfo=UTC), timedelta(hours=6), ZoneInfo("UTC")), ZoneInfo("UTC")
        )
        == []
    )
