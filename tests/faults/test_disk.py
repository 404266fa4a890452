"""A disk that is full, in every stage: said with what to do, nothing lost, and with space again the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.runner import Runner
from tests.faults.world import NAMES, World, difference, world

Told = Callable[[str, object], None]
LARGE = 512 << 20


@pytest.fixture(scope="module")
def small_disk(world: World) -> Iterator[World]:
    """The world with its clone, home and temporary folder on a disk of its own, whose size can be changed.

    It is mounted where the clone is, for the processes of a runner alone: in a mount namespace, which root may make,
    and most kernels let every user make one too, within a user namespace.
    """
    wrapped = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*wrapped, "mount", "-t", "tmpfs", "tmpfs", str(world.base)], check=False).returncode != 0:
        pytest.skip("neither root nor a user namespace may mount a small disk here")
    runner = Runner(world.base, wrapped)
    try:
        assert runner.mount(world.root, LARGE) == ""
        yield replace(world, runner=runner, view=f"/proc/{runner.pid}/root")
    finally:
        runner.close()


@pytest.mark.parametrize("room", ["no", "half the"])
@pytest.mark.parametrize("step", NAMES[1:])
def test_a_full_disk(small_disk: World, step: str, room: str, record_property: Told) -> None:
    record_property("drill", f"a disk with {room} space for {step}, then with enough")
    record_property("outcome", "one clear error, nothing lost, no half file; then the same bytes")
    world = small_disk
    world.at(step)
    world.here.joinpath("tmp").mkdir(exist_ok=True)
    free = 0 if room == "no" else world.undisturbed[step].grown // 8192 * 4096
    assert world.runner.mount(world.root, _used(world.here) + free, again=True) == ""
    try:
        stopped = world.start(step, TMPDIR=str(world.root / "tmp"))
        code = stopped.wait()
        assert (code, stopped.err.startswith("evergreen: ")) == (1, True), stopped.err[-3000:]
        assert "no space left on the device" in stopped.err
        assert "`evergreen gc` shows what can go" in stopped.err
        assert not world.half_made(step)
        before, after, now = world.undisturbed[step].before, world.undisturbed[step].after, world.content()
        assert [place for place, sha in before.items() if now.get(place) not in (sha, after.get(place))] == []
    finally:
        assert world.runner.mount(world.root, LARGE, again=True) == ""
    world.run(step, TMPDIR=str(world.root / "tmp"))
    assert difference(world.content(), world.undisturbed[step].after) == {}


def test_a_clean_up(small_disk: World, record_property: Told) -> None:
    record_property("drill", "evergreen gc on a disk with no space, where the ledger cannot be opened")
    record_property("outcome", "it frees what needs no ledger, then the rest")
    world = small_disk
    world.at("promote")
    old = world.here / ".evergreen" / "airflow" / "logs" / "old.log"
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_bytes(b"a line\n" * 200_000)
    os.utime(old, (0, 0))
    (world.here / ".evergreen" / "format.json").unlink(missing_ok=True)
    assert world.runner.mount(world.root, _used(world.here), again=True) == ""
    try:
        freed = world.command("gc", "--yes", "--json")
        assert not freed.err
        told = {one["kind"]: one for one in json.loads(freed.out)}
        assert told["logs"]["count"] == 1
        assert [one["problem"] for one in told.values() if one["problem"]] == []
        assert not old.exists()
    finally:
        assert world.runner.mount(world.root, LARGE, again=True) == ""


def _used(folder: Path) -> int:
    told = os.statvfs(folder)
    return (told.f_blocks - told.f_bfree) * told.f_frsize


__all__ = ["small_disk", "world"]
