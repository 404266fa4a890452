"""The part of JSON path that says where records and their fields are: `$.data.items`, `main.temp`, `[0]["a b"]`."""

from __future__ import annotations

import re
from contextlib import suppress
from operator import itemgetter
from typing import Any

Steps = tuple[str | int, ...]
MISSING: Any = object()
_STEP = re.compile(r"""\.?([^.\[\]"'$*]+)|\[(\d+)\]|\[(?:"([^"]*)"|'([^']*)')\]""")


def parse(path: str) -> Steps:
    """The steps of a path; none of `$` or an empty one. A `[*]` at its end is understood and means nothing more.

    Raises ValueError for what is not supported: filters, slices, `..`, `*` elsewhere.
    """
    text = path.strip().removeprefix("$").removesuffix("[*]").removesuffix(".*")
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"`{path}` is not a path of names and numbers such as $.data.items or main.temp[0]")
        name, number, double, single = match.groups()
        steps.append(int(number) if number is not None else next(t for t in (name, double, single) if t is not None))
        at = match.end()
    return tuple(steps)


def find(tree: Any, steps: Steps) -> Any:
    """What is at the path, or MISSING."""
    for step in steps:
        if isinstance(step, str) and isinstance(tree, dict):
            tree = tree.get(step, MISSING)
        elif isinstance(step, int) and isinstance(tree, list) and step < len(tree):
            tree = tree[step]
        else:
            return MISSING
    return tree


def column(records: list[Any], steps: Steps) -> tuple[list[Any], int]:
    """The value of every record at the path, None where it has none, and how many have one."""
    if len(steps) == 1:
        with suppress(KeyError, IndexError):  # every record has it, mostly
            return list(map(itemgetter(steps[0]), records)), len(records)
    values = [find(record, steps) for record in records]
    there = sum(value is not MISSING for value in values)
    return [None if value is MISSING else value for value in values], there


def outline(tree: Any) -> str:
    """The keys or the kind of a value, for an error."""
    if isinstance(tree, dict):
        return f"an object with {', '.join(map(str, list(tree)[:20])) or 'nothing in it'}"
    if tree is MISSING:
        return "nothing"
    return "a list" if isinstance(tree, list) else "a text" if isinstance(tree, str) else repr(tree)[:50]
