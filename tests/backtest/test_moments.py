from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from evergreen.backtest.moments import months, months_before, periods, steps
from evergreen.backtest.policies import span_of_months

ZONE = ZoneInfo("America/New_York")


def local(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=ZONE).astimezone(UTC)


def test_months_begin_at_local_midnights_across_daylight_saving_and_years() -> None:
    found = months(local(2013, 10, 1), local(2014, 1, 1), ZONE)
    assert found == [local(2013, 11, 1), local(2013, 12, 1)]
    assert [moment.hour for moment in found] == [4, 5]


def test_weeks_are_steps_from_the_start_on_the_local_calendar() -> None:
    assert steps(local(2013, 10, 28), local(2013, 11, 12), ZONE) == [local(2013, 11, 4), local(2013, 11, 11)]
    assert len(steps(local(2013, 4, 1), local(2014, 1, 1), ZONE)) == 39
    assert steps(local(2013, 4, 1), local(2013, 4, 4), ZONE, timedelta(days=1)) == [
        local(2013, 4, 2),
        local(2013, 4, 3),
    ]


def test_periods_cover_the_span_once_and_name_what_is_cut_by_its_first_day() -> None:
    found = periods(local(2013, 4, 15), local(2013, 6, 10), "month", ZONE)
    assert [one.label for one in found] == ["2013-04-15", "2013-05", "2013-06"]
    assert [one.start for one in found[1:]] == [one.end for one in found[:-1]]
    assert (found[0].start, found[-1].end) == (local(2013, 4, 15), local(2013, 6, 10))
    assert [one.label for one in periods(local(2013, 4, 1), local(2013, 4, 10), "week", ZONE)] == [
        "2013-04-01",
        "2013-04-08",
    ]
    assert periods(local(2013, 4, 1), local(2013, 4, 1), "month", ZONE) == []


def test_months_before_end_on_the_last_day_of_a_shorter_one() -> None:
    assert months_before(local(2013, 5, 31), 3, ZONE) == local(2013, 2, 28)
    assert months_before(local(2013, 1, 15), 13, ZONE) == local(2011, 12, 15)
    assert span_of_months(local(2013, 4, 1), 3, ZONE) == timedelta(days=90)
