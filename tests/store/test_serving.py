"""Predictions, reports, evidence and a clean-up on two hosts of one bucket."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from evergreen.errors import RegistryError
from evergreen.files import fetch, remove, write_atomic
from evergreen.gc.lake import RawOrphans
from evergreen.gc.reports import MonitorReports
from evergreen.gc.scene import Scene
from evergreen.project import Project
from evergreen.registry.evidence import evidence_schema, load_evidence, store_evidence
from evergreen.stages.monitor import monitor
from evergreen.stages.score import score
from evergreen.status import read_status, render_status
from evergreen.store.copy import copy_lake
from tests.buckets import Bucket
from tests.data import day
from tests.stages.served import DAYS, TRAINED, open_world
from tests.store.hosts import here, in_bucket
from tests.stores import PREFIX

WEEK = timedelta(days=7)


@pytest.fixture
def hosts(tmp_path: Path, lake_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> tuple[Project, Project]:
    """Both know of one champion; the second has nothing of the lake yet."""
    with monkeypatch.context() as before:
        before.delenv("EVERGREEN_LAKE_URL")
        world = open_world(tmp_path)
        world.promote("one", day(TRAINED))
    first = world.project
    second = Project.load(shutil.copytree(first.root, tmp_path / "second"))
    shutil.rmtree(second.lake)
    copy_lake(first.home)
    return first, second


def test_a_row_is_predicted_once_by_whichever_host(hosts: tuple[Project, Project], lake_bucket: Bucket) -> None:
    first, second = hosts
    until = day(TRAINED + 7)
    assert score(first, until, WEEK).rows == 280
    again = score(second, until, WEEK)
    assert (again.rows, again.skipped) == (0, 280)
    assert score(second, until + WEEK, WEEK).rows == 280
    assert score(first, until + WEEK, 2 * WEEK).skipped == 560
    assert here(first) == here(second) == in_bucket(lake_bucket)


def test_what_one_host_reports_another_shows(hosts: tuple[Project, Project], lake_bucket: Bucket) -> None:
    first, second = hosts
    score(first, day(DAYS), timedelta(days=DAYS - TRAINED))
    found = monitor(first, day(TRAINED + 8))
    folder = first.home.reports("small")
    assert found.summary
    assert found.drift_report
    place = second.home.reports("small") / found.summary
    assert fetch(place)
    assert place.read_bytes() == (folder / found.summary).read_bytes()
    assert not fetch(place.with_name("none.html"))
    assert monitor(second, day(TRAINED + 8)).record == found.record
    assert set(lake_bucket.contents(f"{PREFIX}reports/small/")) == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()
    }


def test_evidence_is_at_hand_wherever_it_was_stored(hosts: tuple[Project, Project], lake_bucket: Bucket) -> None:
    first, second = hosts
    rows = evidence_schema().empty_table()
    sha256 = store_evidence(first.home, rows)
    assert isinstance(load_evidence(second.home, sha256), pa.Table)
    assert store_evidence(second.home, rows) == sha256
    remove(second.home.evidence / f"{sha256}.parquet")  # as a clean-up does, if no decision names it
    assert store_evidence(first.home, rows) == sha256
    assert isinstance(load_evidence(second.home, sha256), pa.Table)
    with pytest.raises(RegistryError, match="is missing"):
        load_evidence(second.home, "0" * 64)


def test_a_clean_up_frees_the_bucket_too(hosts: tuple[Project, Project], lake_bucket: Bucket) -> None:
    first, second = hosts
    write_atomic(first.lake / "raw/jobs/left.parquet", "left by a run that was killed")
    page = first.home.reports("small") / "20240101T050000-one" / "drift.html"
    page.parent.mkdir(parents=True)
    write_atomic(page, "old")
    scene = Scene.of(second, second.params.retention)
    assert RawOrphans().find(scene) == [], "it was written a moment ago"
    orphan = second.lake / "raw/jobs/left.parquet"
    os.utime(orphan, (0, 0))
    before = in_bucket(lake_bucket)
    for kind in (RawOrphans(), MonitorReports()):
        assert len(list(kind.free(scene, kind.find(scene)))) == 1
    assert in_bucket(lake_bucket) == {name: data for name, data in before.items() if "left" not in name}
    assert lake_bucket.contents(f"{PREFIX}reports/") == {}
    first.refresh()
    assert here(first) == here(second) == in_bucket(lake_bucket)


def test_the_status_says_where_the_lake_is(hosts: tuple[Project, Project], lake_bucket: Bucket) -> None:
    _, second = hosts
    text = render_status(read_status(second))
    assert f"Data, in gs://{lake_bucket.name}/team/loop" in text
    assert "2,520 rows" in text
