"""Files that nothing names: those of killed runs, those that were replaced, and none that anybody may still read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evergreen import clock
from evergreen.gc import run
from evergreen.gc.lake import CleanOrphans, PredictionOrphans, RawOrphans
from evergreen.gc.leftovers import Evidence, Temporaries
from evergreen.gc.reports import ValidationReports
from evergreen.gc.scene import Scene
from evergreen.ledger import Decision, Ledger
from evergreen.locks import lock
from evergreen.params.retention import Retention
from evergreen.project import Project
from evergreen.stages.monitor import monitor
from evergreen.stages.score import score
from evergreen.stages.snapshot import lock_name
from evergreen.stages.validate import FilesRefused, validate
from tests.data import day
from tests.stages.served import DAYS, World, open_scored_world

HOURS = 3600


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A scored world, its clock at its end."""
    made = open_scored_world(tmp_path)
    clock.set_replay(made.project.home, day(DAYS))
    return made


def files(project: Project) -> set[str]:
    """The lake, the reports and the evidence."""
    root = project.home.root
    kept = [path for name in ("lake", "reports", "evidence") for path in (root / name).rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix() for path in kept}


def age(folder: Path, hours: float = 2) -> None:
    """Make everything below a folder as old as that."""
    then = time.time() - hours * HOURS
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then))


def plant(project: Project, *places: str) -> set[str]:
    """Files that no run ever named."""
    for place in places:
        path = project.home.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("left over")
    return set(places)


def test_what_killed_runs_left_goes_when_it_is_old_and_nothing_else(world: World) -> None:
    project, before = world.project, files(world.project)
    left = plant(
        project, "lake/small/raw/jobs/0123456789abcdef-00000.parquet", "lake/small/raw/jobs/.00000.part",
        "lake/small/raw/gone/.00000.part", "lake/small/raw/jobs/ledger/.manifest.x",
        "lake/small/clean/jobs/0123.abc.parquet", "lake/small/clean/jobs/.0123.abc.parquet.part",
        "lake/small/quarantine/jobs/0123.abc.parquet", "lake/small/predictions/one-0123.parquet",
        "lake/small/validation/jobs/.0123.json.x", "evidence/" + "0" * 64 + ".parquet", "evidence/.abc.x",
        "reports/small/20240101T000000-one/.drift.html.x",
    )  # fmt: skip
    run.free(project, Retention())
    assert files(project) == before | left, "they may have been written a moment ago"
    age(project.home.root)
    result = run.free(project, Retention())
    assert [one.kind for one in result if one.problem] == ["candidates"], "no MLflow is named that holds the versions"
    assert files(project) == before


@pytest.mark.parametrize(
    ("kind", "folder", "marked"),
    [
        pytest.param(RawOrphans.name, "raw/jobs", True, id="raw"),
        pytest.param(RawOrphans.name, "raw/jobs", False, id="raw of older code"),
        pytest.param(PredictionOrphans.name, "predictions", True, id="predictions"),
    ],
)
def test_where_a_manifest_was_lost_nothing_is_freed(world: World, kind: str, folder: str, marked: bool) -> None:
    place = world.project.lake / folder
    max((place / "ledger").glob("*.json")).unlink()
    if not marked:
        (place / ".newest.json").unlink()
    before = files(world.project)
    age(world.project.home.root)
    [found] = [one for one in run.free(world.project, Retention()) if one.kind == kind]
    assert "restore" in str(found.problem)
    assert files(world.project) == before


def test_where_a_run_holds_the_lock_its_files_are_left(world: World) -> None:
    project = world.project
    left = plant(project, "lake/small/raw/jobs/x.parquet", "lake/small/raw/outcomes/x.parquet")
    age(project.home.root)
    with lock(project.home, "small/ingest/jobs"):
        [raw] = [one for one in run.free(project, Retention()) if one.kind == RawOrphans.name]
    assert (raw.count, raw.left) == (1, 1)
    assert files(project) & left == {"lake/small/raw/jobs/x.parquet"}


def test_a_replaced_clean_file_goes_an_hour_later(world: World) -> None:
    mended = world.configure(("size: {type: float64, between: [0, 1000]}", "size: {type: float64, between: [0, 980]}"))
    before = files(mended)
    age(mended.home.root)
    validate(mended, "jobs", again=True)
    validated = files(mended)
    assert before < validated
    run.free(mended, Retention())
    assert files(mended) == validated, "somebody may be reading by the records of before"
    age(mended.home.root)
    [clean] = [one for one in run.free(mended, Retention()) if one.kind == CleanOrphans.name]
    old = {name for name in before if "/clean/jobs/" in name}
    assert clean.count == len(old)
    assert files(mended) == validated - old
    assert score(mended, day(DAYS)).rows == 0
    assert monitor(mended, day(DAYS)).record is not None


KILLED = """
import sys
from evergreen.project import Project
from evergreen.stages.score import score
from evergreen.clock import parse_time
score(Project.load(sys.argv[1]), parse_time(sys.argv[2]))
"""


def test_after_a_killed_score_the_next_says_the_same(world: World) -> None:
    project = world.project
    world.promote("two", day(DAYS - 3))
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(project.root), clock.format_time(day(DAYS))],
        env=os.environ | {"EVERGREEN_KILL_AT": "score.placed"}, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    age(project.home.root)
    assert [item.size > 0 for item in PredictionOrphans().find(scene(project))] == [True]
    run.free(project, Retention())
    assert PredictionOrphans().find(scene(project)) == []
    assert score(project, day(DAYS)).by_build.keys() == {"two"}


def scene(project: Project, **changes: str) -> Scene:
    return Scene.of(project, Retention.model_validate(changes))


def test_evidence_of_a_decision_stays(world: World) -> None:
    project, named, other = world.project, "a" * 64, "b" * 64
    plant(project, f"evidence/{named}.parquet", f"evidence/{other}.parquet")
    age(project.home.root)
    decision = Decision(
        id="d", name="another", kind="gate", build=None, as_of=day(0), verdict="reject", reason="a test",
        evidence=named, actor="test",
    )  # fmt: skip
    Ledger.open(project.home).record_decision(decision)
    assert [Path(item.id).stem for item in Evidence().find(scene(project))] == [other]


def test_half_written_folders_go_and_a_snapshot_that_is_the_only_one_stays(world: World) -> None:
    project = world.project
    for place in (project.home.models("small") / ".b1.x", project.root / ".data.new", project.root / ".data.old"):
        place.mkdir(parents=True)
        age(place)
    assert len(Temporaries().find(scene(project))) == 2, "without data, .data.old is the snapshot"
    project.data.mkdir()
    assert len(Temporaries().find(scene(project))) == 3
    with lock(project.home, lock_name(project)):
        run.free(project, Retention())
    assert (project.root / ".data.new").exists(), "a snapshot is being made"
    run.free(project, Retention())
    assert not (project.root / ".data.new").exists()
    assert not (project.root / ".data.old").exists()


def test_old_reports_go_but_for_what_an_open_request_shows(world: World) -> None:
    project = world.project
    for number in (49, 56, 63):
        result = monitor(project, day(number))
    assert result.request is not None, "the drift of the world alarms"
    reports = project.home.reports("small")
    assert len(list(reports.iterdir())) == 3
    asked = Path(Ledger.open(project.home).open_requests("small")[0].evidence["report"]).parent.name
    clock.set_replay(project.home, day(DAYS + 1))
    run.free(project, Retention(reports="0 days"))
    assert [path.name for path in reports.iterdir()] == [asked]
    again = monitor(project, day(49))
    assert (reports / str(again.drift_report)).exists(), "it is drawn again where it is asked for"
    assert again.record is not None


def test_old_validation_pages_go_but_for_those_of_a_refused_file(world: World) -> None:
    broken = world.configure(("size: {type: float64, between: [0, 1000]}", "size: {type: float64, between: [0, 500]}"))
    with pytest.raises(FilesRefused) as refused:
        validate(broken, "jobs", again=True)
    shown = Path(str(refused.value.result.report)).stem
    age(broken.home.root)
    assert ValidationReports().find(scene(broken)) == []
    clock.set_replay(broken.home, day(DAYS + 200))
    found = ValidationReports().find(scene(broken))
    assert len(found) == 4, "two tables, a page and its JSON each"
    assert not [item for item in found if shown in item.id]
