"""Fixtures that every test may use: a clean environment and a project in a git clone of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evergreen.project import Project

pytest_plugins = ["tests.servers", "tests.stores"]
ROOT = Path(__file__).parents[1]

SMALL = """
name: small
time_zone: America/New_York
tables:
  jobs:
    source: {kind: csv, path: drops/jobs-*.csv}
    key: [id]
    known_at: due - interval 2 days
    columns:
      id: {type: int64, nulls: never, severity: critical}
      due: {type: timestamp, nulls: never}
      team: {type: category, in: [red, green, blue]}
      size: {type: float64, between: [0, 1000]}
  outcomes:
    source: {kind: csv, path: drops/outcomes-*.csv}
    key: [id]
    known_at: due + interval 1 day
    columns:
      id: {type: int64, nulls: never}
      due: {type: timestamp, nulls: never}
      team: {type: category}
      late: {type: float64}
prediction:
  rows: jobs
  at: due - interval 1 hour
  label: {table: outcomes, value: late > 10}
features:
  row: {team: team, size: size, hour: hour(local(due))}
  trailing: {team_late_3d: {table: outcomes, by: [team], mean: late > 10, over: 3 days}}
  categorical: [team]
preprocess: {}
training: {estimator: hist_gradient_boosting, options: {early_stopping: false, max_iter: 20}, min_labels: 50}
gate: {window: 7 days, floor: {roc_auc: 0.5}, min_rows: 50, min_positives: 5, min_days: 3}
monitoring: {min_rows: 50}
evaluation: {resamples: 100, importance_rows: 100, importance_repeats: 2, least_rows: 50}
search: {space: {}}
"""


# No test sees the developer's own settings. Once, before anything is imported: Airflow's tests set theirs for good.
for _name in list(os.environ):
    if _name.startswith(("EVERGREEN_", "MLFLOW_", "AIRFLOW_", "DVC_", "STORAGE_EMULATOR_")):
        del os.environ[_name]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git knows who commits, and the numeric libraries use one thread."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Make a project with the given params.yaml text in a fresh git clone; its home is `<root>/.evergreen`."""

    def make(text: str = SMALL, root: Path = tmp_path / "project") -> Project:
        root.mkdir(parents=True, exist_ok=True)
        (root / "params.yaml").write_text(text)
        (root / ".gitignore").write_text(".evergreen/\n/data\n/build\n")
        for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "start"]):
            subprocess.run(["git", "-C", str(root), *command], check=True)
        return Project.load(root)

    return make
