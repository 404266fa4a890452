"""When a table's rows became known: never, or not yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from evergreen.clock import format_time, naive
from evergreen.inspection.columns import shown
from evergreen.inspection.records import Finding
from evergreen.inspection.samples import Sample
from evergreen.params.base import format_duration

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, Any]

NEVER = timedelta(days=3650)  # later than this is a mistake, not patience
MANY = 0.05  # share of rows above which it is the expression that is wrong


def check_known_at(sample: Sample, as_of: datetime, replaying: bool = False) -> Iterator[Finding]:
    """Rows whose `known_at` has no value, and rows that `as_of` does not know yet."""
    import numpy as np

    known = sample.known_at()
    text, nothing = sample.spec.known_at, np.isnat(known)
    if nothing.any():
        refused = nothing.mean() > sample.spec.quarantine.max_share
        yield Finding(
            severity="error" if nothing.all() else "warning" if refused else "note",
            table=sample.name, column="known_at",
            seen=f"`{text}` has no value in {counted(nothing)}, such as {example(sample, nothing)}.",
            todo="Such rows go to quarantine, since nobody can say when they counted. Where the moment may be missing, "
            "say what it is then: `coalesce(..., ...)`.",
        )  # fmt: skip
    yield from _later(sample, known, as_of, replaying)


def _later(sample: Sample, known: Column, as_of: datetime, replaying: bool) -> Iterator[Finding]:
    """Rows beyond `as_of` and what the contract lets lie ahead of it; a few announced ones are only noted."""
    import numpy as np

    ahead, now = sample.spec.ahead, np.datetime64(naive(as_of), "us")
    later = known > now + np.timedelta64(ahead or timedelta())
    if not later.any():
        return
    wrong = ahead is not None or later.mean() > MANY or (known > now + np.timedelta64(NEVER)).any()
    clock = "The clock is a replay's: remove .evergreen/clock.json to be in the present. " if replaying else ""
    if ahead is None:
        beyond, then = (
            "",
            "They count from then on; `ahead: 60 days` in the contract would keep out what lies further. ",
        )
    else:
        beyond, then = f" and {format_duration(ahead)} (`ahead`)", "They go to quarantine. "
    yield Finding(
        severity="warning" if wrong else "note", table=sample.name, column="known_at",
        seen=f"`{sample.spec.known_at}` lies after now ({format_time(as_of)[:16]}Z){beyond} in {counted(later)}, up to "
        f"{moment(known[later].max())}, such as {example(sample, known == known[later].max())}.",
        todo=f"{clock}{then}If the source knows them already, `known_at` is wrong: is it the moment of an event that "
        "is still to come?",
    )  # fmt: skip


def counted(mask: Column) -> str:
    """`12 of 300 rows (4%)`."""
    return f"{int(mask.sum()):,} of {len(mask):,} rows ({mask.mean():.2%})"


def example(sample: Sample, mask: Column) -> str:
    """The key of the first row of `mask`."""
    row = sample.typed.select(list(sample.spec.key)).slice(int(mask.argmax()), 1).to_pylist()[0]
    return ", ".join(f"{name}={shown(value)}" for name, value in row.items())


def moment(value: np.datetime64) -> str:
    """A datetime64 in minutes of UTC."""
    return f"{value.astype('datetime64[m]')!s}Z"
