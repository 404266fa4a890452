"""Cron expressions, checked where they are written: Airflow would first trip over one when it reads the DAGs."""

from __future__ import annotations

import re

PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, lowest and highest value, and what names stand for which values.
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: place for place, name in enumerate(_MONTHS, 1)}),
    ("day of the week", 0, 7, {name: place for place, name in enumerate(_DAYS)}),
)
_PART = re.compile(r"(\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def check_cron(value: str) -> str:
    """`value` where it is five fields of cron or one of PRESETS; raises ValueError that names the field."""
    if value in PRESETS:
        return value
    fields = value.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"a cron expression has five fields (minute, hour, day of the month, month, day of the week), such as "
            f"`30 5 * * 1`, and this has {len(fields)}; or it is one of {', '.join(PRESETS)}"
        )
    for text, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in text.lower().split(","):
            _check_part(part, f"the {name} of this cron expression is `{text}`", low, high, names)
    return value


def _check_part(part: str, field: str, low: int, high: int, names: dict[str, int]) -> None:
    wanted = f"{low} to {high}" + (f" or {', '.join(names)}" if names else "")
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{field}: write {wanted}, or `*`, `a-b`, `a,b`, `*/step`")
    first, last, step = match[2], match[3], match[4]
    for text in filter(None, (first, last)):
        number = int(text) if text.isdecimal() else names.get(text)
        if number is None or not low <= number <= high:
            raise ValueError(f"{field}: `{text}` is not {wanted}")
    if step is not None and not 1 <= int(step) <= high:
        raise ValueError(f"{field}: a step is 1 to {high}")
