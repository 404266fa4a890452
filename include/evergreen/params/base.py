"""What every section of params.yaml shares: frozen models that refuse unknown keys, and durations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_DURATION = re.compile(r"^\s*(\d+)\s*(second|minute|hour|day|week)s?\s*$")


class Section(BaseModel):
    """A part of params.yaml: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def nearest(name: object, known: Collection[str]) -> str:
    """What to say of a name that is not among the `known`: the nearest one, where one is near, and all of them."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return (f"did you mean `{near[0]}`? " if near else "") + f"Known: {', '.join(known)}"


def parse_duration(value: Any) -> Any:
    """Turn `7 days`, `6 hours` or `90 seconds` into a timedelta; raise ValueError for other text, and for numbers.

    `30` is meant as days as often as not, and would be seconds.
    """
    if value is None or isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a duration as a whole number and a unit, such as `6 hours` or `7 days`")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """The inverse of `parse_duration`, in the largest unit that divides it."""
    seconds = int(value.total_seconds())
    unit = next(unit for unit in ("day", "hour", "minute", "second") if seconds % _UNITS[unit] == 0)
    count = seconds // _UNITS[unit]
    return f"{count} {unit}" + ("" if count == 1 else "s")


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
