"""A small DVC project in a git clone, whose stages are shell commands: quick, and real for git and DVC."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.builds.dvc import add_snapshot
from evergreen.builds.records import Build
from evergreen.builds.worktree import open_build
from evergreen.project import Project
from tests.conftest import SMALL

AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)
STAGES = """
stages:
  features:
    cmd: mkdir -p build && cat data/jobs/2013-01.parquet > build/features.parquet && echo features ran
    deps: [data]
    params: [training]
    outs: [build/features.parquet]
  train:
    cmd: cp build/features.parquet build/model.pkl && echo train ran
    deps: [build/features.parquet]
    outs: [build/model.pkl]
"""


def git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def commit_all(folder: Path, message: str = "change") -> str:
    git(folder, "add", ".")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


def add_dvc(project: Project, stages: str = STAGES) -> Project:
    """Give a project's clone what `dvc init` gives it, and stages."""
    place = project.root / ".dvc"
    place.mkdir()
    (place / "config").write_text("[core]\n    remote = local\n['remote \"local\"']\n    url = ../../elsewhere\n")
    (place / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (project.root / ".dvcignore").write_text("__pycache__\n")
    (project.root / "dvc.yaml").write_text(stages)
    commit_all(project.root, "dvc")
    return project


def write_snapshot(build: Build, content: str = "rows of January") -> None:
    """What the snapshot stage leaves in a build's worktree."""
    file = build.project.data / "jobs" / "2013-01.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    build.project.snapshot.write_text(json.dumps({"id": content, "cutoff": "2013-01-31T00:00:00Z"}))


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project whose DVC stages copy its snapshot."""
    return add_dvc(make_project())


@pytest.fixture
def build(project: Project) -> Build:
    """An open build with a snapshot."""
    opened = open_build(project, AS_OF)
    write_snapshot(opened)
    add_snapshot(opened)
    return opened


__all__ = ["AS_OF", "SMALL", "STAGES", "add_dvc", "commit_all", "git", "write_snapshot"]
