"""When a table's rows became known: never, or not yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.clock import format_time, naive
from evergreen.inspection.columns import shown
from evergreen.inspection.records import Finding
from evergreen.inspection.samples import Sample

if TYPE_CHECKING:
    import numpy as np

    Column = np.ndarray[Any, Any]

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
    later = known > np.datetime64(naive(as_of), "us")
    if later.any():
        clock = "The clock is a replay's: remove .evergreen/clock.json to be in the present. " if replaying else ""
        yield Finding(
            severity="warning" if later.mean() > MANY else "note", table=sample.name, column="known_at",
            seen=f"`{text}` lies after {format_time(as_of)[:16]}Z, which is now, in {counted(later)}, up to "
            f"{moment(known[later].max())}.",
            todo=f"{clock}They count from then on. If the source knows them already, `known_at` is wrong: is it the "
            "moment of an event that is still to come?",
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
