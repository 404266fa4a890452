"""A finished build, as the retrain run makes one: real DVC stages that train on planted rows, in a real worktree."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from evergreen.builds.dvc import add_snapshot, run_stage
from evergreen.builds.records import Build
from evergreen.builds.worktree import open_build
from evergreen.project import Project
from tests.conftest import SMALL
from tests.synthetic import write_features

AS_OF = datetime(2024, 2, 11, 5, tzinfo=UTC)
# The snapshot holds the feature table itself: what is tested here starts where features end.
STAGES = """
stages:
  features:
    cmd: mkdir -p build && cp data/features.parquet build/
    deps: [data]
    params: [features]
    outs: [build/features.parquet]
  train:
    cmd: evergreen train
    deps: [build/features.parquet]
    params: [preprocess, training, gate.window]
    outs:
      - build/model.pkl
      - build/twin.pkl
      - build/baseline.pkl
      - build/reference.parquet
      - build/validation.parquet
      - build/sample.parquet
      - build/training.json
  evaluate:
    cmd: evergreen evaluate
    deps: [build/features.parquet, build/twin.pkl, build/baseline.pkl, build/validation.parquet, build/training.json]
    params: [time_zone, evaluation]
    outs: [build/judged.parquet, build/evaluation.json, build/plots]
    metrics: [build/metrics.json]
"""


def make_clone(root: Path, name: str) -> Project:
    """The small use case under another name, with stages, in a git clone of its own."""
    text = SMALL.replace("name: small", f"name: {name}")
    files = {
        "params.yaml": text,
        "dvc.yaml": STAGES,
        ".gitignore": ".evergreen/\n/data\n/build\n",
        ".dvcignore": "__pycache__\n.evergreen\n",
        ".dvc/config": "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../remote\n",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    }
    for place, content in files.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(content)
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run(["git", *who, "-C", str(root), *command], check=True)
    return Project.load(root)


def open_with_snapshot(project: Project, as_of: datetime = AS_OF) -> Build:
    """An open build with its snapshot."""
    build = open_build(project, as_of)
    write_features(build.project)
    build.project.data.mkdir(exist_ok=True)
    (build.project.build / "features.parquet").rename(build.project.data / "features.parquet")
    build.project.snapshot.write_text('{"id": "5a4b", "cutoff": "2024-02-10T05:00:00Z", "tables": {}}\n')
    add_snapshot(build)
    return build


def finish(build: Build) -> Build:
    """Run all stages of a build."""
    for stage in ("features", "train", "evaluate"):
        run_stage(build, stage)
    return build
