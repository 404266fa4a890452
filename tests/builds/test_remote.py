"""The DVC remote in a bucket of a real server: a build goes there, and comes back on a host that has none of it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from itertools import count

import pytest

from evergreen.builds.commit import commit_build
from evergreen.builds.dvc import run_stage
from evergreen.builds.records import Build
from evergreen.builds.worktree import ensure_build, open_build
from evergreen.errors import BuildError
from evergreen.project import Project
from tests.buckets import Bucket
from tests.builds.conftest import AS_OF

_numbers = count()
NEEDED = pytest.mark.skipif(find_spec("dvc_gs") is None, reason="dvc-gs is among the server's packages alone")


@pytest.fixture
def remote(gcs_url: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    bucket = Bucket(gcs_url, f"dvc-{next(_numbers)}")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    monkeypatch.setenv("EVERGREEN_DVC_REMOTE", f"gs://{bucket.name}/team/dvc")
    return bucket


@NEEDED
def test_a_finished_build_comes_back_from_its_tag_and_the_bucket(
    remote: Bucket, build: Build, project: Project
) -> None:
    for stage in ("features", "train"):
        run_stage(build, stage)
    done = commit_build(build)
    assert not (project.home.dvc / "remote").exists()
    assert b"rows of January" in remote.contents("team/dvc/files/md5/").values()
    for place in (build.worktree, project.home.dvc, project.home.builds("small") / f"{build.id}.json"):
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    again = ensure_build(project, build.id)
    assert (again.project.build / "model.pkl").read_text() == "rows of January"
    assert commit_build(again) == done


@NEEDED
def test_it_takes_the_place_of_one_whose_options_are_of_another_service(
    remote: Bucket, build: Build, project: Project
) -> None:
    (project.root / ".dvc" / "config.local").write_text(
        "['remote \"local\"']\n    url = s3://ours/dvc\n    access_key_id = ours\n"
    )
    for stage in ("features", "train"):
        run_stage(build, stage)
    commit_build(build)
    assert b"rows of January" in remote.contents("team/dvc/files/md5/").values()
    assert "access_key_id = ours" in (build.worktree / ".dvc" / "config.local").read_text()


@NEEDED
def test_a_bucket_that_is_not_there_is_said(remote: Bucket, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_DVC_REMOTE", "gs://there-is-none/dvc")
    for stage in ("features", "train"):
        run_stage(build, stage)
    with pytest.raises(BuildError, match="there-is-none"):
        commit_build(build)


def test_what_dvc_cannot_use_is_said(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_DVC_REMOTE", "bucket/dvc")
    with pytest.raises(BuildError, match="EVERGREEN_DVC_REMOTE is not a place such as gs://bucket/prefix"):
        open_build(project, AS_OF)
