"""From a home into a bucket: refused until it is done by command, which may be interrupted."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evergreen.cli import app
from evergreen.errors import EvergreenError, LakeError
from evergreen.files import write_atomic
from evergreen.project import Project
from evergreen.stages.ingest import ingest
from evergreen.store.copy import copy_lake, fetch_lake
from tests.buckets import Bucket
from tests.store.hosts import AS_OF, Make, drop, here, in_bucket, killed, work
from tests.stores import PREFIX


@pytest.fixture
def filled(make_project: Make, lake_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a lake in its home, and a bucket that is empty."""
    project = make_project()
    drop(project, 1)
    with monkeypatch.context() as before:
        before.delenv("EVERGREEN_LAKE_URL")
        work(project)
        for place in ("reports/small/w/drift.html", "cards/small/b.html", "evidence/e.parquet"):
            (project.home.root / place).parent.mkdir(parents=True)
            write_atomic(project.home.root / place, place)
    return project


def test_a_lake_in_the_home_is_not_left_behind_and_a_command_brings_it(
    filled: Project, lake_bucket: Bucket, make_project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = partial(write_atomic, filled.home.evidence / "new.parquet", "")
    for refused in (
        write,
        filled.refresh,
        partial(ingest, filled, "jobs", AS_OF),
        partial(ingest, filled, "jobs", AS_OF),
    ):
        with pytest.raises(LakeError, match=r"no lake in gs://.* yet.* bring it there by `evergreen lake copy`"):
            refused()
    assert lake_bucket.contents() == {}
    monkeypatch.chdir(filled.root)
    told = CliRunner().invoke(app, ["lake", "copy"], catch_exceptions=False)
    assert told.exit_code == 0
    assert f"files copied to gs://{lake_bucket.name}/team/loop, 0 were there" in told.stdout
    assert ingest(filled, "jobs", AS_OF).files == 0
    assert here(filled) == in_bucket(lake_bucket)
    assert lake_bucket.read(f"{PREFIX}evidence/e.parquet") == b"evidence/e.parquet"
    other = make_project(root=tmp_path / "other")
    assert ingest(other, "jobs", AS_OF).rows_known == 11
    assert here(other) == here(filled)
    assert "gs://" in CliRunner().invoke(app, ["lake", "where"], catch_exceptions=False).stdout


def test_the_way_back_brings_what_other_hosts_wrote(
    filled: Project, lake_bucket: Bucket, make_project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_lake(filled.home)
    other = make_project(root=tmp_path / "other")
    monkeypatch.chdir(other.root)
    told = CliRunner().invoke(app, ["lake", "fetch"], catch_exceptions=False)
    assert told.stdout == f"all that is in gs://{lake_bucket.name}/{PREFIX} is in {other.home.root}\n"
    monkeypatch.delenv("EVERGREEN_LAKE_URL")
    with pytest.raises(EvergreenError, match="run `evergreen lake fetch` with it set"):
        Project.load(other.root)
    shutil.rmtree(other.home.mirror)
    assert here(Project.load(other.root)) == here(filled)
    for place in ("reports/small/w/drift.html", "cards/small/b.html", "evidence/e.parquet"):
        assert (other.home.root / place).read_text() == place
    with pytest.raises(EvergreenError, match="EVERGREEN_LAKE_URL does not name a bucket"):
        fetch_lake(other.home)


def test_killed_in_the_middle_it_goes_on(
    filled: Project, lake_bucket: Bucket, make_project: Make, tmp_path: Path
) -> None:
    assert killed("lake.copied:5", partial(copy_lake, filled.home))
    with pytest.raises(LakeError, match=r"is not whole, it has no format\.json: run `evergreen lake copy`"):
        ingest(make_project(root=tmp_path / "other"), "jobs", AS_OF)
    there = len(lake_bucket.contents())
    assert 5 <= there < len(here(filled)) + 3
    with pytest.raises(LakeError, match="evergreen lake copy"):
        filled.refresh()
    copied = copy_lake(filled.home)
    assert copied.there >= there, "what was on its way when it was killed may have arrived since"
    assert (copied.copied > 0, copied.copied + copied.there) == (True, len(here(filled)) + 3)
    assert copy_lake(filled.home).copied == 0
    filled.refresh()
    assert here(filled) == in_bucket(lake_bucket)


def test_another_lake_is_neither_mixed_with_it_nor_overwritten(
    filled: Project, lake_bucket: Bucket, make_project: Make, tmp_path: Path
) -> None:
    other = make_project(root=tmp_path / "other")
    drop(other, 2)
    ingest(other, "jobs", AS_OF)
    before = lake_bucket.contents()
    with pytest.raises(LakeError, match=r"another one than that in .*/lake, which has .*00000001\.json of its own"):
        filled.refresh()
    with pytest.raises(LakeError, match=r"is there already, with other content .*: nothing was copied"):
        copy_lake(filled.home)
    assert lake_bucket.contents() == before


def test_a_copy_gives_a_bucket_back_what_it_lost(filled: Project, lake_bucket: Bucket) -> None:
    copy_lake(filled.home)
    filled.refresh()
    before = lake_bucket.contents()
    for name in before:
        lake_bucket.delete(name)
    with pytest.raises(LakeError, match="has lost what was in it"):
        filled.refresh()
    assert copy_lake(filled.home).there == 0
    assert lake_bucket.contents() == before


def test_without_a_bucket_there_is_nothing_to_do(make_project: Make) -> None:
    assert "EVERGREEN_LAKE_URL" not in os.environ
    with pytest.raises(EvergreenError, match="EVERGREEN_LAKE_URL does not name a bucket"):
        copy_lake(make_project().home)


def test_newer_code_s_bucket_is_left_alone(make_project: Make, lake_bucket: Bucket) -> None:
    lake_bucket.put(f"{PREFIX}format.json", b'{"format": 2}')
    with pytest.raises(LakeError, match="of format 2, written by a newer Evergreen"):
        make_project().refresh()
