"""A small project that has something to search, on the synthetic feature table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evergreen.project import Project
from tests.conftest import SMALL
from tests.synthetic import write_features

SPACE = "{max_iter: {int: [5, 45], step: 10}, learning_rate: {float: [0.02, 0.3], log: true}, max_leaf_nodes: [7, 15]}"
MakeSearch = Callable[..., Project]


def with_search(section: str, name: str = "small") -> str:
    """The small params.yaml with a `search` section, in flow style."""
    return SMALL.replace("search: {space: {}}", f"search: {section}").replace("name: small", f"name: {name}")


@pytest.fixture
def make_search(make_project: Callable[..., Project], tmp_path: Path) -> MakeSearch:
    """Make a project with this `search` section and the synthetic feature table; `place` keeps several apart."""

    def make(section: str = f"{{trials: 4, space: {SPACE}}}", place: str = "project", name: str = "small") -> Project:
        project = make_project(with_search(section, name), tmp_path / place)
        write_features(project)
        return project

    return make


def in_process(project: Project, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start `evergreen search` in a process of its own."""
    import os

    return subprocess.Popen(
        [str(Path(sys.executable).parent / "evergreen"), "search", *arguments],
        cwd=project.root, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
