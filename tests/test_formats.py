"""A home of an older version is used as it is; one of a newer version is left alone.

tests/homes/format-1.tar.xz holds what the code of commit fff74c5 wrote; make_format_1.py says how.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from evergreen.builds import build as builds
from evergreen.errors import EvergreenError
from evergreen.formats import FORMAT, read_format
from evergreen.gc import run
from evergreen.ledger import Ledger
from evergreen.ledger.replay import replay
from evergreen.locks import lock
from evergreen.monitoring.records import Record
from evergreen.params.retention import Retention
from evergreen.paths import Home
from evergreen.project import Project
from evergreen.stages.gate import gate
from evergreen.stages.ingest import ingest
from evergreen.stages.monitor import monitor
from evergreen.stages.promote import promote
from evergreen.stages.retrain import begin
from evergreen.stages.score import score
from evergreen.stages.track import track
from evergreen.stages.validate import validate
from evergreen.status import read_status, render_status
from tests.conftest import ROOT
from tests.data import day, write_drops

WEEK = 22  # the day on which the old code scored and monitored last


@pytest.fixture
def old(tmp_path: Path) -> Project:
    """The clone that the old code worked in, at another place."""
    with tarfile.open(ROOT / "tests" / "homes" / "format-1.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    return Project.load(tmp_path / "clone")


def test_an_old_home_tells_the_same_and_gets_its_stamp(old: Project) -> None:
    assert not old.home.stamp.exists()
    assert read_format(old.home) == 1
    replayed = replay(old)
    assert [(one.recorded, one.same) for one in replayed] == [("promote", True), ("inconclusive", True)]
    status = read_status(old)
    assert status.champion is not None
    assert {name: table.rows for name, table in status.tables.items()} == {"jobs": 920, "outcomes": 880}
    assert "champion since 2024-01-16" in render_status(status)
    assert score(old, day(WEEK)).rows == 0, "what the old code predicted is there"
    result = monitor(old, day(WEEK))
    stored = Ledger.open(old.home).windows("small", str(result.build))[0].record
    assert Record.model_validate(result.record) == Record.model_validate(stored), "what came later has its default"
    assert (old.home.reports("small") / str(result.drift_report)).exists(), "the archive was packed without it"
    assert json.loads(old.home.stamp.read_text()) == {"format": FORMAT}


def test_the_loop_goes_on_in_an_old_home(old: Project) -> None:
    tags = subprocess.run(
        ["git", "-C", str(old.root), "tag"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(tags) == 2
    write_drops(old.root / "drops", days=36, until=36)
    for table in old.params.tables:
        ingest(old, table, day(36))
        validate(old, table)
    assert score(old, day(36)).rows > 0
    assert monitor(old, day(36)).record is not None
    assert begin(old, day(36)).run
    build = builds.take_snapshot(old, day(36)).build
    for stage in ("features", "train", "evaluate"):
        builds.run_stage(old, build, stage)
    track(old, build)
    judged = gate(old, build, day(36), "a test")
    promote(old, judged.decision)
    freed = {one.kind: one for one in run.free(old, Retention(candidates="1 hour", worktrees="1 hour"))}
    assert [one.problem for one in freed.values() if one.problem] == []
    assert all(one.same for one in replay(old))
    champion = Ledger.open(old.home).champion("small")
    assert champion is not None
    here = builds.ensure_build(old, tags[0].rpartition("/")[2])
    assert (here.project.build / "model.pkl").exists()


def test_tables_that_an_old_ledger_lacks_are_made(old: Project) -> None:
    with closing(sqlite3.connect(old.home.ledger)) as connection:
        connection.executescript("drop table windows;")
    ledger = Ledger.open(old.home)
    assert ledger.windows("small", "any") == []
    assert len(ledger.decisions("small")) == 2


def test_a_home_of_a_newer_version_is_refused_and_left_alone(old: Project) -> None:
    old.home.stamp.write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(EvergreenError, match=rf"format {FORMAT + 1}.*knows formats up to {FORMAT}.*git pull"):
        Project.load(old.root)
    code = "import sys; from evergreen.cli import main; sys.argv = ['evergreen', 'status']; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=old.root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"evergreen: {old.home.root} is of format {FORMAT + 1}")


def test_a_damaged_stamp_is_named(old: Project) -> None:
    old.home.stamp.write_text("")
    with pytest.raises(EvergreenError, match=r"format\.json does not say a format.*backup"):
        Project.load(old.root)


def test_whoever_locks_first_stamps(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with lock(home, "any"):
        assert read_format(home) == FORMAT
    assert home.stamp.exists()
