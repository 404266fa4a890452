"""The one clock: wall time, or the replayed time that a demo sets. All times are aware and in UTC."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from evergreen.errors import EvergreenError
from evergreen.files import write_atomic
from evergreen.paths import Home


def now(home: Home) -> datetime:
    """The replayed moment where one is set, else the wall clock's."""
    replayed = replay_time(home)
    return replayed if replayed is not None else datetime.now(UTC)


def replay_time(home: Home) -> datetime | None:
    """The replayed moment, or None when the clock is the wall's."""
    return _replayed(home, "now")


def set_replay(home: Home, moment: datetime | None, ahead: datetime | None = None) -> None:
    """Put the clock at `moment`; None returns it to wall time.

    `ahead` is the moment that the replay moves to next: a run that is told to may stand there already, such as the
    ingest that brings what became known in between, while whatever runs by schedule still stands at `moment`.
    """
    if moment is None:
        home.clock.unlink(missing_ok=True)
    else:
        write_atomic(home.clock, json.dumps({"now": format_time(moment), "ahead": format_time(ahead or moment)}))


def _replayed(home: Home, key: str) -> datetime | None:
    if not home.clock.exists():
        return None
    try:
        return parse_time(json.loads(home.clock.read_text())[key])
    except (ValueError, KeyError, TypeError):
        raise EvergreenError(
            f"{home.clock} was altered or cut off: remove it, which puts the clock to wall time, or replay again"
        ) from None


def resolve_as_of(home: Home, given: str | datetime | None, interval_end: datetime | None = None) -> datetime:
    """The run's moment: as given, else its data interval's end, else now; never later than now.

    In a replay a cron run's interval ends at today's wall time, which is after the replayed now: it gets the latter.
    Raises EvergreenError for a given moment in the future: what is not known yet cannot be stood on, and predictions
    and decisions made there would stand for ever.
    """
    moment = now(home)
    if not given:
        return min(interval_end.astimezone(UTC), moment) if interval_end else moment
    wanted = parse_time(given) if isinstance(given, str) else given.astimezone(UTC)
    if wanted > (_replayed(home, "ahead") or moment):
        kind = "the replayed clock stands at" if replay_time(home) else "it is"
        raise EvergreenError(f"as_of {format_time(wanted)} lies in the future: {kind} {format_time(moment)}")
    return wanted


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 moment; one without a zone is UTC. Raises EvergreenError for other text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise EvergreenError(f"`{text}` is not a time; write for example 2013-04-01T04:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC, as every record stores it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def naive(moment: datetime) -> datetime:
    """UTC without a zone, as tables store it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which a local day begins, in UTC: the first of two midnights, and 01:00 where there is none."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def floor_day(moment: datetime, zone: ZoneInfo) -> datetime:
    """The last local midnight at or before `moment`, in UTC."""
    return midnight(moment.astimezone(zone).date(), zone)


def ceil_day(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first local midnight at or after `moment`, in UTC."""
    begun = floor_day(moment, zone)
    if begun == moment:
        return begun
    return midnight(moment.astimezone(zone).date() + timedelta(days=1), zone)


def back(moment: datetime, span: timedelta, zone: ZoneInfo) -> datetime:
    """`moment` minus `span` on the local calendar, so that whole days stay whole across daylight saving."""
    return (moment.astimezone(zone) - span).astimezone(UTC)
