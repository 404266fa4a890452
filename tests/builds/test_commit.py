"""The build as a tagged commit: the same whatever was killed on the way, and reproducible in a fresh clone."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evergreen.builds.commit import commit_build, write_commit
from evergreen.builds.dvc import run_stage
from evergreen.builds.records import Build
from evergreen.errors import BuildError
from evergreen.project import Project
from tests.builds.conftest import git, write_snapshot


@pytest.fixture
def finished(build: Build) -> Build:
    """A build whose stages have run."""
    for stage in ("features", "train"):
        run_stage(build, stage)
    return build


def test_a_build_is_a_tagged_commit_on_its_base(finished: Build, project: Project) -> None:
    (project.root / ".git" / "refs" / "tags" / "build" / "small").mkdir(parents=True)
    (project.root / ".git" / "refs" / "tags" / f"{finished.tag}.lock").touch()  # a killed writer's
    done = commit_build(finished)
    assert done.tag == f"build/small/{finished.id}"
    assert git(project.root, "rev-parse", f"{done.tag}^") == finished.record.base
    moment = int(finished.record.as_of.timestamp())
    who = git(project.root, "show", "-s", "--format=%an %ae %at %ct", done.tag)
    assert who == f"Evergreen evergreen@localhost {moment} {moment}"
    assert finished.id in git(project.root, "show", "-s", "--format=%s", done.tag)
    changed = git(project.root, "diff", "--name-only", f"{done.tag}^", done.tag).split()
    assert changed == ["data.dvc", "dvc.lock", "snapshot.json"]
    assert git(project.root, "status", "--porcelain") == "", "the main checkout is not touched"
    assert commit_build(finished) == done


def test_killed_before_any_step_gives_the_same_commit(finished: Build) -> None:
    """The process dies at its n-th step, for every n: each time in the middle of what came before."""
    whole = subprocess.run([sys.executable, "-c", KILLED, *_arguments(finished), "99"], check=True, capture_output=True)
    expected, steps = whole.stdout.decode().split()
    assert int(steps) > 6
    for step in range(int(steps)):
        killed = subprocess.run([sys.executable, "-c", KILLED, *_arguments(finished), str(step)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert write_commit(finished) == expected


# Counts the git commands of a commit and dies at the one that is asked for.
KILLED = """
import os, signal, sys
from evergreen.builds import commit
from evergreen.builds.worktree import ensure_build
from evergreen.project import Project
build = ensure_build(Project.load(sys.argv[1]), sys.argv[2])
steps, git = [], commit.git
def counted(*arguments, **options):
    if len(steps) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    steps.append(arguments)
    return git(*arguments, **options)
commit.git = counted
print(commit.write_commit(build), len(steps))
"""


def _arguments(build: Build) -> tuple[str, str]:
    return str(build.clone.repository), build.id


def test_stale_or_foreign_content_is_refused(finished: Build) -> None:
    params = finished.project.root / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("max_iter: 20", "max_iter: 30"))
    with pytest.raises(BuildError, match=r"changed in the worktree .*params\.yaml"):
        commit_build(finished)
    params.write_text(before)
    write_snapshot(finished, "other rows")
    with pytest.raises(BuildError, match="not up to date"):
        commit_build(finished)


def test_a_tag_never_moves(finished: Build) -> None:
    done = commit_build(finished)
    finished.project.snapshot.write_text('{"id": "other"}')
    with pytest.raises(BuildError, match=r"the tag .* stands for"):
        commit_build(finished)
    assert git(finished.clone.repository, "rev-parse", done.tag) == done.sha


def test_a_fresh_clone_reproduces_the_build(finished: Build, project: Project, tmp_path: Path) -> None:
    done = commit_build(finished)
    clone = tmp_path / "fresh"
    subprocess.run(["git", "clone", "-q", str(project.root), str(clone)], check=True)
    git(clone, "checkout", "-q", done.tag)
    lock = (clone / "dvc.lock").read_bytes()
    shutil.rmtree(project.home.dvc / "cache")
    remote = str(project.home.dvc / "remote")
    for command in (
        ["remote", "modify", "--local", "local", "url", remote],
        ["config", "--local", "core.site_cache_dir", str(tmp_path / "site")],
        ["pull", "-q"],
        ["repro", "-q", "--force"],
    ):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=clone, check=True, capture_output=True)
    assert (clone / "dvc.lock").read_bytes() == lock
    assert git(clone, "status", "--porcelain") == ""
