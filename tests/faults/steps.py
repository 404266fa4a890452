"""The commands that are disturbed: the first track, and all of the second cycle."""

from __future__ import annotations

from typing import NamedTuple

from tests.data import day

FIRST, SECOND = day(42), day(56)
DRIFT = 42  # everything is late far more often from this day on
BAD = "drops/jobs-refused.csv"


class Step(NamedTuple):
    """A command; `{first}`, `{build}` and `{decision}` are filled in."""

    name: str
    arguments: tuple[str, ...]
    in_build: bool = False  # run in the build's worktree, as DVC does


AS_OF = ("--as-of", SECOND.isoformat())
STEPS = (
    Step("first track", ("track", "{first}")),
    Step("ingest", ("ingest", *AS_OF)),
    Step("validate", ("validate",)),
    Step("discard", ("validate", "jobs", "--discard", BAD, "--because", "it is a test")),
    Step("score", ("score", *AS_OF, "--window", "14 days")),
    Step("monitor", ("monitor", *AS_OF)),
    Step("snapshot by hand", ("snapshot", *AS_OF)),
    Step("snapshot", ("build", "snapshot", SECOND.isoformat())),
    Step("features", ("features",), in_build=True),
    Step("train", ("train",), in_build=True),
    Step("evaluate", ("evaluate",), in_build=True),
    Step("track", ("track", "{build}")),
    Step("gate", ("gate", "{build}", *AS_OF)),
    Step("promote", ("promote", "{decision}")),
    Step("rollback", ("rollback", *AS_OF, "--reason", "it is a test")),
)
NAMES = tuple(step.name for step in STEPS)
