"""The meaning of a feature in plain Python, one question at a time: what the engine's answers are held against."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

START = datetime(2024, 3, 1)


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


@dataclass(frozen=True)
class Event:
    """One version of an event; times are whole minutes."""

    id: int
    version: int
    known: int
    entity: str | None
    value: float | None
    own: int | None = None  # the view's own known_at


@dataclass(frozen=True)
class Seen:
    """What one key says at a moment, and where it stands in time."""

    place: int
    id: int
    entity: str | None
    value: float | None


def seen_at(events: list[Event], moment: int, own: bool) -> list[Seen]:
    """Every key that counts at `moment`, in the version that counts then."""
    keys = defaultdict(list)
    for event in sorted(events, key=lambda e: (e.id, e.version)):
        keys[event.id].append(event)
    found = []
    for id_, versions in keys.items():
        counting = []
        for event, after in zip(versions, [*versions[1:], None], strict=True):
            if own and event.own is None:
                continue
            start = max(event.known, event.own or 0) if own else event.known
            if after is None or start < after.known:
                counting.append((start, event))
        current = [event for start, event in counting if start <= moment]
        if current:
            found.append(Seen(counting[0][0], id_, current[-1].entity, current[-1].value))
    return found


def newest(seen: list[Seen]) -> float | None:
    return max(seen, key=lambda one: (one.place, one.id)).value if seen else None


def trailing(events: list[Event], how: str, entity: str | None, moment: int, over: int, own: bool = False) -> Any:
    """The aggregate over (moment - over, moment]."""
    if how == "change":
        now, before = (trailing(events, "last", entity, at, over, own) for at in (moment, moment - over))
        return None if now is None or before is None else now - before
    span = [
        one
        for one in seen_at(events, moment, own)
        if one.place > moment - over and one.entity == entity and entity is not None and one.value is not None
    ]
    if how == "count":
        return float(len(span))
    if not span:
        return None
    if how == "last":
        return newest(span)
    values = [Fraction(one.value) for one in span]
    total = sum(values)
    answers = {"sum": total, "mean": total / len(values), "min": min(values), "max": max(values)}
    return float(answers[how])


def latest(events: list[Event], entity: str | None, moment: int, max_age: int | None, own: bool = False) -> Any:
    """The value of the newest observation, null or not."""
    seen = [one for one in seen_at(events, moment, own) if one.entity == entity and entity is not None]
    return newest([one for one in seen if max_age is None or moment - one.place <= max_age])
