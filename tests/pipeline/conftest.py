"""A clone of this repository with the small use case in it, its drops, a real MLflow server and a real Airflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from evergreen.project import Project
from tests.conftest import ROOT, SMALL
from tests.data import write_drops

IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "test@example.org"))
}
LEFT_OUT = ("dvc.lock", "data.dvc", "snapshot.json", "params.yaml", "examples/", "docs/", "tests/")


@dataclass(frozen=True)
class Loop:
    """A clone and the environment in which its commands run."""

    root: Path
    env: Mapping[str, str]
    name: str = "small"
    folder: str = "."

    @property
    def project(self) -> Project:
        """The clone's project that the loop runs, at `folder`."""
        return Project.load(self.root / self.folder)

    def run(self, *command: str, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone; its output is in the error where it fails."""
        done = subprocess.run(
            command, cwd=cwd or self.root, env=dict(self.env), capture_output=True, text=True, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done

    def evergreen(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `evergreen`."""
        return self.run(str(Path(sys.executable).parent / "evergreen"), *arguments, check=check)

    def reproduced(self, tag: str, fresh: Path) -> str:
        """The dvc.lock of `dvc pull` and `dvc repro` in a fresh clone at `tag`, with nothing but DVC's remote."""
        self.run("git", "clone", "-q", "--branch", tag, str(self.root), str(fresh))
        remote = self.root / ".evergreen" / "dvc" / "remote"
        env = {key: value for key, value in self.env.items() if not key.startswith(("EVERGREEN", "MLFLOW"))}
        for command in (
            ["remote", "modify", "--local", "storage", "url", str(remote)],
            ["pull", "-q"],
            ["repro", "--force"],
        ):
            replace(self, env=env).run(sys.executable, "-m", "dvc", *command, cwd=fresh)
        return (fresh / "dvc.lock").read_text()

    def dag(self, stage: str, **conf: Any) -> dict[str, Any]:
        """Run a DAG of the clone by `dag.test()`; returns the run's state and its tasks'."""
        done = self.run(
            sys.executable, "-m", "tests.pipeline.run_dag", f"{self.name}_{stage}", json.dumps(conf), cwd=ROOT
        )
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found


def clone_repository(root: Path, params: str = SMALL) -> None:
    """Copy the tracked files as they are now, with another params.yaml, into a git repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if not name.startswith(LEFT_OUT) and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    (root / "params.yaml").write_text(params)
    (root / ".gitignore").write_text((root / ".gitignore").read_text() + "/drops\n")
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=root, env=os.environ | IDENTITY, check=True)


@pytest.fixture(scope="package")
def loop(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Loop:
    """The small use case with 63 days of drops in the lake."""
    base = tmp_path_factory.mktemp("loop")
    root = base / "clone"
    clone_repository(root)
    write_drops(root / "drops", days=70, until=63)
    made = Loop(root, environment(base, [root], mlflow_uri))
    made.run(sys.executable, "-m", "airflow", "db", "migrate")
    return made


def environment(base: Path, projects: list[Path], mlflow_uri: str) -> dict[str, str]:
    """The variables of a clone at `base/clone` whose Airflow, in `base/airflow`, runs these projects."""
    return os.environ | IDENTITY | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "EVERGREEN_PROJECTS": os.pathsep.join(map(str, projects)),
        "EVERGREEN_HOME": str(base / "clone" / ".evergreen"),
        "MLFLOW_TRACKING_URI": mlflow_uri,
        "AIRFLOW_HOME": str(base / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
    }  # fmt: skip
