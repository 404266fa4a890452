"""A build's worktree: opened once, found again, and made again after kills."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import timedelta

import pytest

from evergreen.builds.checkout import is_ready
from evergreen.builds.commit import commit_build
from evergreen.builds.dvc import add_snapshot, run_stage
from evergreen.builds.git import git_environment
from evergreen.builds.records import Build
from evergreen.builds.worktree import ensure_build, open_build
from evergreen.errors import BuildError
from evergreen.project import Project
from tests.builds.conftest import AS_OF, SMALL, STAGES, add_dvc, commit_all, git, write_snapshot


def test_opening_twice_finds_the_same_worktree(project: Project) -> None:
    build = open_build(project, AS_OF)
    head = git(project.root, "rev-parse", "HEAD")
    assert build.id == f"20130401T0400-{head[:7]}"
    assert build.worktree == project.home.builds("small") / build.id
    assert git(build.worktree, "rev-parse", "HEAD") == head
    (build.worktree / "mark").write_text("kept")
    assert open_build(project, AS_OF) == build
    assert ensure_build(build.project, build.id) == build, "also when asked from inside of the worktree"
    assert (build.worktree / "mark").exists()


def test_builds_of_two_moments_or_two_commits_differ(project: Project) -> None:
    first = open_build(project, AS_OF)
    second = open_build(project, AS_OF + timedelta(seconds=7))
    (project.root / "README").write_text("new")
    commit_all(project.root)
    third = open_build(project, AS_OF)
    assert len({first.worktree, second.worktree, third.worktree}) == 3
    assert (third.worktree / "README").exists()
    assert not (first.worktree / "README").exists()


def test_uncommitted_changes_do_not_run_and_are_said(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    (project.root / "params.yaml").write_text(SMALL.replace("max_iter: 20", "max_iter: 30"))
    build = open_build(project, AS_OF)
    assert build.uncommitted == ("params.yaml",)
    assert "params.yaml" in caplog.text
    assert build.project.params.training.options["max_iter"] == 20


def test_dvc_of_the_worktree_uses_the_home(project: Project) -> None:
    (project.root / ".dvc" / "config.local").write_text("['remote \"local\"']\n    password = secret\n")
    build = open_build(project, AS_OF)
    config = (build.worktree / ".dvc" / "config.local").read_text()
    for place in ("cache", f"site/{project.name}/{build.id}", "remote"):
        assert f'"{project.home.dvc / place}"' in config
    assert "password = secret" in config, "the credentials of the main checkout hold here too"
    assert git(build.worktree, "status", "--porcelain") == ""


def test_a_remote_that_is_elsewhere_stays(project: Project) -> None:
    (project.root / ".dvc" / "config").write_text("[core]\nremote = far\n['remote \"far\"']\nurl = gs://bucket/dvc\n")
    commit_all(project.root)
    build = open_build(project, AS_OF)
    assert "url" not in (build.worktree / ".dvc" / "config.local").read_text()


def test_a_project_in_a_subfolder(make_project: Callable[..., Project]) -> None:
    top = add_dvc(make_project())
    folder = top.root / "examples" / "other"
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(SMALL.replace("name: small", "name: other"))
    (folder / "dvc.yaml").write_text(STAGES)
    (folder / ".gitignore").write_text("/data\n/build\n")
    commit_all(top.root)
    build = open_build(Project.load(folder), AS_OF)
    assert build.project.root == build.worktree / "examples" / "other"
    assert build.project.name == "other"
    assert build.project.home == top.home
    write_snapshot(build)
    add_snapshot(build)
    for stage in ("features", "train"):
        run_stage(build, stage)
    done = commit_build(build)
    changed = git(top.root, "diff", "--name-only", f"{done.tag}^", done.tag).split()
    assert changed == [f"examples/other/{name}" for name in ("data.dvc", "dvc.lock", "snapshot.json")]


def _folder_lost(build: Build) -> None:
    shutil.rmtree(build.worktree)


def _folder_lost_and_locked(build: Build) -> None:
    git(build.worktree, "worktree", "lock", str(build.worktree))
    shutil.rmtree(build.worktree)


def _registration_lost(build: Build) -> None:
    shutil.rmtree(build.clone.repository / ".git" / "worktrees")


def _never_finished(build: Build) -> None:
    (build.clone.repository / ".git" / "worktrees" / build.id / "evergreen-ready").unlink()
    (build.worktree / "params.yaml").unlink()
    (build.clone.repository / ".git" / "worktrees" / build.id / "index.lock").touch()


@pytest.mark.parametrize("damage", [_folder_lost, _folder_lost_and_locked, _registration_lost, _never_finished])
def test_leftovers_of_a_kill_are_mended(build: Build, damage: Callable[[Build], None]) -> None:
    damage(build)
    assert not is_ready(build.worktree)
    again = ensure_build(Project.load(build.clone.repository), build.id)
    assert (again.project.data / "jobs" / "2013-01.parquet").read_text() == "rows of January"
    assert again.project.snapshot.exists()
    assert is_ready(build.worktree)


def test_a_stage_after_a_removal_finds_the_outputs_before_it(build: Build) -> None:
    run_stage(build, "features")
    shutil.rmtree(build.worktree)
    run_stage(build, "train")
    assert (build.project.build / "model.pkl").read_text() == "rows of January"


def test_a_finished_build_comes_back_from_its_tag_and_the_remote(build: Build, project: Project) -> None:
    for stage in ("features", "train"):
        run_stage(build, stage)
    done = commit_build(build)
    for place in (build.worktree, project.home.dvc / "cache", project.home.builds("small") / f"{build.id}.json"):
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    again = ensure_build(project, build.id)
    assert git(again.worktree, "rev-parse", "HEAD") == done.sha
    assert (again.project.build / "model.pkl").read_text() == "rows of January"
    assert (again.record.as_of, again.record.base) == (build.record.as_of, build.record.base)
    assert commit_build(again) == done


def test_what_a_user_can_mend_is_said(project: Project) -> None:
    with pytest.raises(BuildError, match="there is no build 20130401T0400-0000000 of small"):
        ensure_build(project, "20130401T0400-0000000")
    with pytest.raises(BuildError, match="`nothing` is no commit"):
        open_build(project, AS_OF, "nothing")
    (project.root / "params.yaml").write_text(SMALL.replace("name: small", "name: renamed"))
    with pytest.raises(BuildError, match="commit it to git first"):
        open_build(Project.load(project.root), AS_OF)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_clone_of_another_owner_is_trusted(project: Project) -> None:
    for place, _, files in os.walk(project.root):
        for name in [".", *files]:
            os.chown(os.path.join(place, name), 12345, 12345)
    build = open_build(Project.load(project.root, project.home.root), AS_OF)
    assert is_ready(build.worktree)


def test_a_git_hook_s_environment_does_not_mislead(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert "GIT_DIR" not in git_environment()
    assert is_ready(open_build(project, AS_OF).worktree)
