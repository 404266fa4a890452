"""`kill -9` of the stage, of dvc, of the guard and of the task while a build's stage runs: nothing is left running."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import psutil
import pytest

from tests.faults.world import World, difference, world

Told = Callable[[str, object], None]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; the guard's pipe works elsewhere too")


def test_a_killed_process_of_a_build(world: World, record_property: Told) -> None:
    record_property("drill", "kill -9 of the stage, of dvc, of its guard and of the task while DVC runs a stage")
    record_property("outcome", "no process left; run again, the build's bytes and dvc.lock as undisturbed")
    world.at("features")
    for victim in ("stage", "dvc", "guard", "task"):
        task = world.begin("build", "features", world.build, **world.armed("features.written"))
        stage = psutil.Process(world.reached("features.written"))
        family = {"stage": stage, "task": psutil.Process(task.pid)}
        for parent in stage.parents():
            words = parent.cmdline()
            if "repro" in words:
                family["guard" if any(word.endswith("guard.py") for word in words) else "dvc"] = parent
        everyone = family["task"].children(recursive=True)
        assert {family["guard"], family["dvc"], stage} <= set(everyone)
        os.kill(family[victim].pid, signal.SIGKILL)
        assert task.wait() == (-signal.SIGKILL if victim == "task" else 1)
        assert victim == "task" or task.err.startswith("evergreen: `dvc repro features` failed in the build")
        _, alive = psutil.wait_procs(everyone, timeout=60)
        assert not alive
        assert not world.half_made("features")
    assert world.command("build", "evaluate", world.build).err == ""
    assert difference(world.content(), world.undisturbed["track"].before) == {}


__all__ = ["world"]
