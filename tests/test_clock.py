"""The clock: wall or replay, local days, and the moment that a run stands at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from evergreen import clock
from evergreen.errors import EvergreenError
from evergreen.paths import Home

NEW_YORK = ZoneInfo("America/New_York")
MARCH = datetime(2013, 3, 4, 5, tzinfo=UTC)


def test_without_a_replay_it_is_now(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    assert before <= clock.now(Home(tmp_path)) <= datetime.now(UTC)


def test_a_replay_is_set_moved_and_ended(tmp_path: Path) -> None:
    home = Home(tmp_path)
    clock.set_replay(home, MARCH)
    assert clock.now(home) == MARCH
    clock.set_replay(home, None)
    assert clock.now(home) > MARCH


def test_as_of_prefers_what_was_given_and_is_never_after_now(tmp_path: Path) -> None:
    home = Home(tmp_path)
    clock.set_replay(home, MARCH)
    given, tick = "2013-02-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.resolve_as_of(home, given, tick) == datetime(2013, 2, 1, tzinfo=UTC)
    assert clock.resolve_as_of(home, None, tick) == MARCH  # a cron tick of today, in the middle of a replay of 2013
    assert clock.resolve_as_of(home, None, MARCH - timedelta(days=1)) == MARCH - timedelta(days=1)  # a backfill


def test_a_moment_in_the_future_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(EvergreenError, match="lies in the future: it is 20"):
        clock.resolve_as_of(home, "2999-01-01T00:00Z")
    clock.set_replay(home, MARCH)
    with pytest.raises(EvergreenError, match="the replayed clock stands at 2013-03-04T05:00:00Z"):
        clock.resolve_as_of(home, MARCH + timedelta(seconds=1))


def test_a_replay_lets_a_told_run_stand_where_it_moves_next(tmp_path: Path) -> None:
    home, ahead = Home(tmp_path), MARCH + timedelta(days=7)
    clock.set_replay(home, MARCH, ahead)
    assert clock.resolve_as_of(home, ahead) == ahead
    assert clock.resolve_as_of(home, None, datetime(2026, 1, 1, tzinfo=UTC)) == MARCH  # by schedule: not yet
    with pytest.raises(EvergreenError, match="future"):
        clock.resolve_as_of(home, ahead + timedelta(seconds=1))


def test_local_days_are_whole_across_daylight_saving() -> None:
    after = datetime(2013, 3, 11, 4, tzinfo=UTC)  # local midnight, one day after clocks went forward
    assert clock.back(after, timedelta(days=7), NEW_YORK) == MARCH
    assert clock.ceil_day(after, NEW_YORK) == after
    assert clock.ceil_day(after - timedelta(hours=23), NEW_YORK) == after - timedelta(hours=23)
    assert clock.ceil_day(after - timedelta(hours=1), NEW_YORK) == after


def test_a_day_begins_at_the_last_local_midnight() -> None:
    for day, hours in ((datetime(2013, 3, 10, 5, tzinfo=UTC), 23), (datetime(2013, 11, 3, 4, tzinfo=UTC), 25)):
        inside = [day + timedelta(minutes=30 * n) for n in range(2 * hours)]
        assert {clock.floor_day(moment, NEW_YORK) for moment in inside} == {day}
        assert {clock.ceil_day(moment, NEW_YORK) for moment in inside[1:]} == {day + timedelta(hours=hours)}
        assert clock.floor_day(day + timedelta(hours=hours), NEW_YORK) == day + timedelta(hours=hours)
        assert clock.ceil_day(day, NEW_YORK) == day


@pytest.mark.parametrize(
    ("zone", "begins", "hours"),
    [
        ("America/Sao_Paulo", datetime(2013, 10, 20, 3, tzinfo=UTC), 23),  # 00:00 is skipped
        ("America/Havana", datetime(2013, 11, 3, 4, tzinfo=UTC), 25),  # 00:00 comes twice
    ],
)
def test_a_day_without_a_midnight_or_with_two_begins_once(zone: str, begins: datetime, hours: int) -> None:
    inside = [begins + timedelta(minutes=30 * n) for n in range(2 * hours)]

    assert {clock.floor_day(moment, ZoneInfo(zone)) for moment in inside} == {begins}
    assert clock.ceil_day(begins, ZoneInfo(zone)) == begins
    assert {clock.ceil_day(moment, ZoneInfo(zone)) for moment in inside[1:]} == {begins + timedelta(hours=hours)}


def test_a_time_that_is_none_is_refused_with_an_example() -> None:
    with pytest.raises(EvergreenError, match="2013-04-01T04:00Z"):
        clock.parse_time("yesterday")
