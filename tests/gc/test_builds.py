"""Which builds lose what, and that those that stay can be made again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evergreen import clock
from evergreen.builds.commit import commit_build
from evergreen.builds.dvc import add_snapshot, run_stage
from evergreen.builds.records import Clone
from evergreen.builds.worktree import ensure_build, held, open_build
from evergreen.errors import EvergreenError
from evergreen.gc import dvc, kinds, run
from evergreen.gc.scene import Scene
from evergreen.ledger import Ledger, Request
from evergreen.locks import lock, sweeping, using
from evergreen.params.retention import Retention
from tests.builds.conftest import write_snapshot
from tests.data import day
from tests.gc.world import NOW, World, clean_up, git, judge, open_world, promote

KEPT = ["champion", "last", "other", "recent"]


def counts(result: list[run.Freed]) -> dict[str, int]:
    """Kind to number, those with any."""
    assert not [one.problem for one in result if one.problem]
    return {one.kind: one.count for one in result if one.count}


def expired(world: World, **changes: object) -> list[str]:
    """What is called expired by Scene."""
    named = {build: name for name, build in world.builds.items()}
    scene = Scene.of(world.project, Retention.model_validate(changes))
    return sorted(named[build] for build in scene.expired())


def test_a_dry_run_changes_nothing_and_says_what_a_real_one_frees(world: World) -> None:
    before = world.files()
    found = run.find(world.project, Retention())
    assert world.files() == before
    assert counts(found)["candidates"] == 3
    assert [(one.kind, one.count, one.size) for one in run.free(world.project, Retention())] == [
        (one.kind, one.count, one.size) for one in found
    ]
    assert counts(run.find(world.project, Retention())) == {}


def test_what_the_gate_did_not_take_goes_with_all_that_only_it_needs(world: World) -> None:
    run.free(world.project, Retention())
    home = world.project.home
    assert world.tags() == KEPT
    gone = {world.builds[name] for name in ("rejected", "spoiled", "unfinished")}
    left = {
        path.name.removesuffix(".json") for path in (*home.models("small").glob("*"), *home.builds("small").glob("*"))
    }
    assert left == set(world.builds.values()) - gone
    contents = {path.read_text() for path in (home.dvc / "remote").rglob("*") if path.is_file()}
    assert {"champion", "recent", "last"} <= contents
    assert "spoiled" not in contents
    assert "unfinished" not in {
        path.read_text() for path in (home.dvc / "cache" / "files").rglob("*") if path.is_file()
    }
    assert [one.verdict for one in Ledger.open(home).decisions("small")] == [
        "inconclusive",
        *["reject"] * 3,
        "promote",
    ]


def test_what_another_use_case_needs_of_it_stays(world: World) -> None:
    """`other` has a build of the very rows of `rejected`, which expires."""
    run.free(world.project, Retention())
    other = world.other
    [tag] = git(world.root, "tag", "--list", "build/other/*").split()
    made = ensure_build(other, tag.rpartition("/")[2])
    assert (made.project.build / "model.pkl").read_text() == "rejected"


@pytest.mark.parametrize("name", ["champion", "recent", "last"])
def test_a_kept_build_is_made_again_from_its_tag_where_its_worktree_went(world: World, name: str) -> None:
    run.free(world.project, Retention(worktrees="1 hour"))
    clone = Clone.of(world.project)
    assert not clone.worktree(world.builds[name]).exists()
    made = ensure_build(world.project, world.builds[name])
    assert (made.project.build / "model.pkl").read_text() == name


def test_a_fresh_clone_pulls_a_kept_build_and_makes_the_same_hashes(world: World, tmp_path: Path) -> None:
    run.free(world.project, Retention())
    fresh, tag = tmp_path / "fresh", f"build/small/{world.builds['champion']}"
    git(tmp_path, "clone", "-q", "--branch", tag, str(world.root), str(fresh))
    remote = str(world.project.home.dvc / "remote")
    for command in (["remote", "modify", "--local", "local", "url", remote], ["pull", "-q"], ["repro", "--force"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=fresh, check=True, capture_output=True)
    assert git(fresh, "status", "--porcelain") == ""
    assert (fresh / "build" / "model.pkl").read_text() == "champion"


def test_a_freed_build_can_be_made_and_freed_once_more(world: World) -> None:
    """Its objects are pushed again although DVC has seen them in the remote before."""
    run.free(world.project, Retention())
    build = open_build(world.project, day(10))
    assert build.id == world.builds["rejected"]
    write_snapshot(build, "rejected")
    add_snapshot(build)
    run_stage(build, "train")
    commit_build(build)
    assert "rejected" in world.tags()
    assert counts(run.free(world.project, Retention()))["candidates"] == 1
    assert world.tags() == KEPT


def test_only_the_old_and_unneeded_expire(world: World) -> None:
    assert expired(world) == ["rejected", "spoiled", "unfinished"]
    assert expired(world, candidates="5 days") == ["recent", "rejected", "spoiled", "unfinished"]
    assert expired(world, candidates="0 days") == ["recent", "rejected", "spoiled", "unfinished"], (
        "never the last, never a champion"
    )
    assert expired(world, candidates="60 days") == []


def test_what_may_still_be_promoted_or_is_asked_about_stays(world: World) -> None:
    judge(world.project, world.builds["rejected"], day(12), "promote")
    assert expired(world) == ["spoiled", "unfinished"]
    promote(world.project, judge(world.project, world.builds["recent"], day(59), "promote"))
    assert expired(world) == ["rejected", "spoiled", "unfinished"], "it was overtaken"
    request = Request(
        id="r", name="small", as_of=NOW, raised_by="test", reason="a test", build=world.builds["rejected"]
    )
    Ledger.open(world.project.home).raise_request(request)
    assert expired(world) == ["spoiled", "unfinished"]


def test_in_a_replay_what_may_be_under_way_stays(world: World) -> None:
    world.age("unfinished", hours=0)
    assert expired(world) == ["rejected", "spoiled"]
    scene = Scene.of(world.project, Retention(worktrees="1 hour"))
    assert world.builds["unfinished"] not in scene.stale_worktrees()


def test_a_build_that_was_tagged_and_never_judged_is_unfinished(world: World) -> None:
    build = world.builds["unfinished"]
    git(world.root, "tag", f"build/small/{build}", "HEAD")
    assert "unfinished" in expired(world)


def test_where_versions_exist_and_no_mlflow_is_named_no_build_is_freed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    promote(world.project, judge(world.project, world.builds["recent"], day(59), "promote"), version=2)
    [found] = [one for one in run.free(world.project, Retention()) if one.kind == "candidates"]
    assert "the challenger" in str(found.problem)
    assert "rejected" in world.tags()


def test_by_the_walls_clock_what_was_made_lately_stays(world: World) -> None:
    """A backfill of an old moment is old from the start."""
    clock.set_replay(world.project.home, None)
    assert expired(world) == []
    for name in ("rejected", "spoiled", "unfinished"):
        build = world.builds[name]
        home = world.project.home.builds("small")
        for place in (home / f"{build}.json", world.root / ".git" / "worktrees" / build / "evergreen-ready"):
            os.utime(place, (0, 0))
    assert expired(world) == ["rejected", "spoiled", "unfinished"]


HOLD = """
import sys
from evergreen.builds.records import Clone
from evergreen.project import Project
with Clone.of(Project.load(sys.argv[1])).locked(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_build_whose_lock_somebody_holds_is_left_with_its_data(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "PATIENCE", 0.1)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(world.root), world.builds["rejected"]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    result = {one.kind: one for one in run.free(world.project, Retention())}
    assert (result["candidates"].count, result["candidates"].left) == (2, 1)
    assert (result["DVC cache"].count, result["DVC cache"].left > 0) == (0, True), "a stage may be running"
    assert "rejected" in world.tags()
    holder.communicate("")
    assert counts(run.free(world.project, Retention()))["candidates"] == 1
    assert world.tags() == KEPT


def test_what_is_left_of_a_held_build_keeps_its_data(world: World) -> None:
    """Its lock alone is held here, as by a process that has not come to DVC yet."""
    clone = Clone.of(world.project)
    with lock(world.project.home, clone.lock_of(world.builds["rejected"])):
        run.free(world.project, Retention())
    assert "rejected" in world.tags()
    made = ensure_build(world.project, world.builds["rejected"])
    assert (made.project.build / "model.pkl").read_text() == "rejected"


def test_a_home_with_builds_of_another_clone_keeps_all_data(world: World) -> None:
    git(world.root, "tag", "-d", f"build/small/{world.builds['recent']}")
    result = {one.kind: one for one in run.find(world.project, Retention())}
    for kind in ("DVC cache", "DVC remote"):
        assert result[kind].count == 0
        assert world.builds["recent"] in str(result[kind].problem)
        assert "fetch the tags" in str(result[kind].problem)
        assert "remove the folders" in str(result[kind].problem)
    git(world.root, "tag", f"build/small/{world.builds['recent']}", "HEAD")
    git(world.root, "tag", "-d", f"build/small/{world.builds['champion']}")
    [problem] = {one.problem for one in run.find(world.project, Retention()) if one.kind == "DVC cache"}
    assert "remove the folders" not in str(problem)
    assert f"Keep the folders of build/small/{world.builds['champion']}" in str(problem)


@pytest.mark.parametrize("digits", ["12345678901234567890123456789012", "123456789012345678901234567890e2"])
def test_an_object_whose_hash_yaml_quotes_is_seen(world: World, digits: str) -> None:
    (world.root / "named.dvc").write_text(f"outs:\n- md5: '{digits}'\n  path: named\n")
    assert digits in dvc.used_objects(Scene.of(world.project, Retention()))


def test_one_kinds_problem_keeps_no_other_from_its_turn(world: World) -> None:
    world.project.home.airflow.mkdir()
    (world.project.home.airflow / "airflow.db").write_text("no database" * 1000)
    result = {one.kind: one for one in run.free(world.project, Retention())}
    assert "not a database" in str(result["Airflow runs"].problem)
    assert result["candidates"].count == 3


def test_two_clean_ups_at_once_are_one(world: World) -> None:
    with lock(world.project.home, "gc"), pytest.raises(EvergreenError, match="another `evergreen gc`"):
        run.free(world.project, Retention())


def test_whoever_uses_the_stores_keeps_the_sweep_away(world: World) -> None:
    home = world.project.home
    with using(home), using(home), sweeping(home, 0.1) as alone:
        assert not alone
    with sweeping(home, 0.1) as alone:
        assert alone


AGAIN_AND_AGAIN = """
import sys
from evergreen.gc import run
from evergreen.params.retention import Retention
from evergreen.project import Project
project = Project.load(sys.argv[1])
while True:
    run.free(project, Retention())
    print("freed", flush=True)
"""


def test_beside_a_retrain_it_takes_nothing_that_the_build_needs(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    """It runs without a pause, between any two steps of the build."""
    record_property("drill", "evergreen gc without a pause beside a retrain")
    record_property("outcome", "the build is made, pushed, tagged, and made again from its tag")
    cleaner = subprocess.Popen(
        [sys.executable, "-c", AGAIN_AND_AGAIN, str(world.root)], stdout=subprocess.PIPE, text=True
    )
    assert cleaner.stdout is not None
    try:
        assert cleaner.stdout.readline() == "freed\n"
        build = open_build(world.project, day(59))
        with held(build.clone, build.id) as here:
            write_snapshot(here, "new")
            add_snapshot(here)
        for stage in ("features", "train"):
            assert cleaner.stdout.readline() == "freed\n"
            run_stage(build, stage)
        assert cleaner.stdout.readline() == "freed\n"
        commit_build(ensure_build(world.project, build.id))
        assert cleaner.stdout.readline() == "freed\n"
    finally:
        cleaner.kill()
        cleaner.communicate()
    made = ensure_build(world.project, build.id)
    assert (made.project.build / "model.pkl").read_text() == "new"
    assert {path.read_text() for path in (world.project.home.dvc / "remote").rglob("*") if path.is_file()} >= {"new"}


POINTS = (
    "gc.build.worktree", "gc.build.bundle", "gc.build.tag", "gc.candidates", "gc.candidates", "gc.worktrees",
    "gc.DVC cache", "gc.DVC cache:2", "gc.DVC run cache", "gc.DVC remote",
)  # fmt: skip


def test_killed_at_each_point_and_repeated_it_ends_the_same(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("drill", "kill -9 of evergreen gc after each of its steps, one after the other, then again")
    record_property("outcome", "the same files, tags and records as an undisturbed clean-up leaves")
    undisturbed, killed = open_world(tmp_path / "one"), open_world(tmp_path / "two")
    assert undisturbed.files() == killed.files()
    done = clean_up(undisturbed, "--yes", "--worktrees", "1 hour")
    assert done.returncode == 0, done.stderr
    for place in POINTS:
        ended = clean_up(killed, "--yes", "--worktrees", "1 hour", EVERGREEN_KILL_AT=place)
        assert ended.returncode == -signal.SIGKILL, place
    again = clean_up(killed, "--yes", "--worktrees", "1 hour")
    assert again.returncode == 0, again.stderr
    assert killed.files() == undisturbed.files()


def test_the_command_shows_then_frees(world: World) -> None:
    shown = clean_up(world)
    assert "candidates" in shown.stdout
    assert "Nothing was freed" in shown.stdout
    assert "rejected" in world.tags()
    freed = clean_up(world, "--yes")
    assert freed.returncode == 0
    assert world.tags() == KEPT
    assert clean_up(world, "--candidates", "soon").stderr.startswith(
        "evergreen: --candidates is `soon`: write a duration"
    )
