"""What `make drill-kill` prints at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple

from tests.kills.drill import Tally
from tests.kills.points import INGEST, named_points

HEADER = (
    "source", "kills at named points", "kills at random", "restarts", "rows in the source at the end",
    "versions written meanwhile", "missing", "doubled", "torn", "orphans collected", "s",
)  # fmt: skip


def table(tallies: list[Tally]) -> list[str]:
    """A Markdown table with a line for each source and one for all; below it, what was not counted."""
    cells = [[tally.name, *map(str, _numbers(tally))] for tally in tallies]
    total = [sum(column) for column in zip(*map(_numbers, tallies), strict=True)]
    rows = [HEADER, ["---", *["---:"] * len(total)], *cells, ["all", *map(str, total)]]
    idle, refused = sum(tally.idle for tally in tallies), sum(tally.refused for tally in tallies)
    return [
        *(f"| {' | '.join(row)} |" for row in rows), "",
        f"Not counted: {idle} kills before anything was read or written, or after the end. {refused} of the runs that "
        "nobody killed left something to the next, since it changed while it was read.",
    ]  # fmt: skip


def is_wrong(tally: Tally) -> bool:
    """Whether the lake was not as the source promises."""
    return any(astuple(tally.counts))


def spared(tallies: list[Tally]) -> list[str]:
    """A line that names the points at which nothing was killed, if there are any."""
    killed = sum((tally.at_points for tally in tallies), Counter[str]())
    left = sorted(named_points(*INGEST) - set(killed))
    return [f"Nothing was killed at {', '.join(left)}."] if left else []


def _numbers(tally: Tally) -> tuple[int, ...]:
    counts = tally.counts
    return (
        tally.at_points.total(), tally.at_random, tally.restarts, tally.rows, tally.written, counts.missing,
        counts.doubled, counts.torn, tally.orphans, round(tally.seconds),
    )  # fmt: skip
