"""Markdown whose source is as readable as its rendering: padded tables, lists, short numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_SHA256 = re.compile(r"[0-9a-f]{64}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are each padded to one width."""
    cells = [[cell(text) for text in row] for row in (head, *rows)]
    widths = [max(3, *(len(row[place]) for row in cells)) for place in range(len(head))]
    padded = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in cells]
    first, *others = (f"| {' | '.join(row)} |" for row in padded)
    return "\n".join([first, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *others])


def listed(entries: Mapping[str, Any]) -> str:
    """`- name: value`, an entry a line."""
    return "\n".join(f"- {_one_line(name)}: {shown(value)}" for name, value in entries.items())


def unlinked(text: str) -> str:
    """Text in which no link is left: one in it would come from data, such as a category's name."""
    return text.replace("](", "]\\(")


def cell(text: str) -> str:
    """Text that stays inside of its cell."""
    return _one_line(text).replace("|", "\\|")


def shown(value: Any) -> str:
    """A value in few characters: four digits of a fraction, twelve of a SHA-256; what is missing says so."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    if isinstance(value, str):
        return value[:12] if _SHA256.fullmatch(value) else _one_line(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_inside(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_inside(one) for one in value) or "none"
    return str(value)


def _inside(value: Any) -> str:
    """As `shown`, in brackets where it has parts itself."""
    nests = isinstance(value, Mapping | list | tuple) and value
    return f"({shown(value)})" if nests else shown(value)


def _one_line(text: str) -> str:
    return " ".join(str(text).split())
