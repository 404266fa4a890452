"""`kill -9` at every named point between two writes: run again, it ends with the bytes of an undisturbed run."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults.world import NAMES, World, difference, world
from tests.kills.points import named_points

Told = Callable[[str, object], None]
TORN = re.compile(r"/\.[^/]+\.[a-z0-9_]{8}$")  # what a write that was killed leaves; `evergreen gc` removes it


# Those of a source need its server, and so does that of messages which cannot be rows: see tests/kills. Those of a
# clean-up need something to clean up, see tests/gc, and those of a lake in a bucket are in tests/store; those of a
# search, a backtest and a rebuild are in their tests, and that of a migration in the ledger's. Who is alone never comes
# by that of a lock.
SEARCH = named_points("search", "stages/search.py", "builds/search.py", "registry/trials.py")
OTHERS = named_points("sources", "gc", "backtest", "store", "builds/rebuild.py")
ELSEWHERE = OTHERS | SEARCH | {"ingest.rejects", "ledger.migrated", "lock.waits"}
POINTS = sorted(named_points(".") - ELSEWHERE)


def passings(world: World, point: str) -> dict[str, list[str]]:
    """Step to where in it a point is passed: `<name>` and `<name>:<n>`, the first time and the last."""
    pattern = re.compile(re.sub(r"\\\{.*?\\\}", r"[^.]+", re.escape(point)))
    found = {}
    for step in NAMES:
        passed = Counter(name for kind, name in world.undisturbed[step].heard if kind == "point")
        places = [name for name in passed if pattern.fullmatch(name)]
        lasts = [f"{name}:{passed[name]}" for name in places if passed[name] > 1]
        if places:
            found[step] = places + lasts
    return found


@pytest.mark.parametrize("point", POINTS)
def test_killed_there_and_run_again_it_leaves_what_an_undisturbed_run_leaves(
    world: World, point: str, record_property: Told
) -> None:
    record_property("drill", f"kill -9 at {point}, then again")
    record_property("outcome", "the same bytes, ledger rows, MLflow run, version and aliases; no half file before")
    found = passings(world, point)
    assert found, f"no step comes by {point}: add one to tests/faults/world.py"
    step, places = list(found.items())[-1]
    if step == "track":  # whose whole run takes seconds
        assert point in _track_killed_in_a_row(world)
        return
    for place in places:
        _kill_and_repeat(world, step, place)


_in_a_row: set[str] = set()


def _track_killed_in_a_row(world: World) -> set[str]:
    """The points at which track died, one after the other, each run going on from the last; made once."""
    if _in_a_row:
        return _in_a_row
    world.at("track")
    places = [name for kind, name in world.undisturbed["track"].heard if kind == "point" and name != "file.written"]
    for place in places:
        killed = world.start("track", EVERGREEN_KILL_AT=place)
        assert killed.wait() == -signal.SIGKILL, f"{place}: {killed.err}"
        assert not world.half_made("track")
    world.run("track")
    assert difference(world.content(), world.undisturbed["track"].after) == {}
    _in_a_row.update(places)
    return _in_a_row


@pytest.mark.parametrize("step", NAMES[: NAMES.index("promote")])  # the last two write to the ledger alone
def test_killed_in_the_middle_of_a_write(world: World, step: str, record_property: Told) -> None:
    record_property("drill", f"kill -9 of {step} before it renames a file that it wrote, then again")
    record_property("outcome", "the same, but for hidden files that nobody reads")
    _kill_and_repeat(world, step, passings(world, "file.written")[step][-1])


def _kill_and_repeat(world: World, step: str, place: str) -> None:
    world.at(step)
    killed = world.start(step, EVERGREEN_KILL_AT=place)
    assert killed.wait() == -signal.SIGKILL, killed.err
    assert not world.half_made(step)
    world.run(step)
    wrong = difference(world.content(), world.undisturbed[step].after)
    assert [place for place in wrong if not TORN.search(place)] == []


def test_every_two_writes_have_a_point_between_them(world: World, record_property: Told) -> None:
    record_property("drill", "listen to every rename, link, ledger commit, git and dvc command of a run")
    record_property("outcome", "a named point between any two of them")
    for step in NAMES:
        last = ""
        for kind, what in world.undisturbed[step].heard:
            if what == "file.written" or (kind == "write" and re.search(r"/\.[^/]+\.[^/]+/|/__pycache__/", what)):
                continue  # before every rename; in a hidden folder that is renamed when it is whole; Python's own
            assert not (last and kind == "write"), f"{step}: no point between {last} and {what}"
            last = what if kind == "write" else ""


__all__ = ["world"]
