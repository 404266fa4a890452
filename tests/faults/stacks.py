"""The small use case on the real local stack, with points at which a test stops a task and then harms something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mlflow
import psutil
import pytest

from evergreen.clock import set_replay
from evergreen.ledger import Ledger
from evergreen.local import stack
from evergreen.local.airflow import USER, password
from evergreen.local.api import ENDED, AirflowApi, Run
from evergreen.local.health import Waiting, client
from evergreen.local.ports import current_ports
from evergreen.local.processes import alive
from evergreen.local.supervisor import Supervisor
from evergreen.project import Project
from tests.conftest import SMALL
from tests.data import day, write_drops
from tests.faults.harm import until
from tests.local.test_stack import free_ports
from tests.pipeline.conftest import IDENTITY, clone_repository
from tests.pipeline.test_loop import outputs

STAGES = ("ingest", "score", "monitor", "retrain")
AS_OF = day(63)
DAYS = 91
RUN_SECONDS = 300  # on a machine that other tests keep busy


@dataclass(frozen=True)
class Made:
    """What a retrain left: equal for two runs that did the same work, whatever happened to them on the way."""

    outputs: dict[str, str]  # of the committed dvc.lock, path to hash
    commits: dict[str, str]  # build tag to commit
    bundles: list[str]  # that were promoted
    runs: int  # in MLflow
    versions: int
    decisions: list[tuple[str, str]]  # id and verdict
    promotions: list[str | None]


@dataclass
class Drills:
    """A stack, its project, the folder in which points are armed, and how long the last start of servers took."""

    project: Project
    api: AirflowApi
    armed: Path
    start_seconds: float
    held: list[psutil.Process] = field(default_factory=list)  # those that a point has stopped

    # What a run leaves

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self.project.home)

    @property
    def mlflow(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(current_ports(self.project.home).mlflow_url)

    def made(self) -> Made:
        """What the retrains since `forget` have made."""
        tags = self._git("tag", "--list", "build/*").split()
        locks = [outputs(self._git("show", f"{tag}:dvc.lock")) for tag in tags]
        promotions = self.ledger.promotions("small")
        return Made(
            outputs={f"{tag}:{path}": sha for tag, lock in zip(tags, locks, strict=True) for path, sha in lock.items()},
            commits={tag: self._git("rev-parse", tag).strip() for tag in tags},
            bundles=[promotion.bundle for promotion in promotions],
            runs=len(self._runs()),
            versions=len(self.mlflow.search_model_versions("name='small'")),
            decisions=[(decision.id, decision.verdict) for decision in self.ledger.decisions("small")],
            promotions=[promotion.build for promotion in promotions],
        )

    def forget(self) -> None:
        """Remove every build and all that was decided: the next retrain has all of its work to do again."""
        home = self.project.home
        for tag in self._git("tag", "--list", "build/*").split():
            self._git("tag", "-d", tag)
        for folder in (home.builds("small"), home.models("small"), home.dvc, home.evidence):
            shutil.rmtree(folder, ignore_errors=True)
        self._git("worktree", "prune")
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (home.root / name).unlink(missing_ok=True)
        for run in self._runs():
            self.mlflow.delete_run(run.info.run_id)
        for model in self.mlflow.search_registered_models():
            self.mlflow.delete_registered_model(model.name)

    def _runs(self) -> list[Any]:
        experiment = self.mlflow.get_experiment_by_name("small")
        return list(self.mlflow.search_runs([experiment.experiment_id])) if experiment else []

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.project.root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    # Points

    def arm(self, point: str, action: str = "stop") -> None:
        """Whoever passes the point next is stopped, or killed, there."""
        (self.armed / point).write_text(action)

    def reached(self, point: str, seconds: float = RUN_SECONDS) -> psutil.Process:
        """The process that stands at an armed point, once one does."""
        note = self.armed / f"{point}.reached"
        until(lambda: note.exists(), seconds, f"nobody came to `{point}`")
        process = psutil.Process(int(note.read_text()))
        note.unlink()
        until(lambda: process.status() == psutil.STATUS_STOPPED, 30, f"`{point}` did not stop {process}")
        self.held.append(process)
        return process

    def release(self) -> None:
        """Leave nothing to the next drill that this one, if it failed, has armed, stopped or started."""
        for path in self.armed.iterdir():
            path.unlink()
        for process in self.held:
            if alive(process):
                process.kill()
        self.held.clear()
        for run in (run for stage in STAGES for run in self.api.runs(f"small_{stage}")):
            if run.state not in ENDED:
                self.mark_failed(run)

    # Servers

    def pid(self, server: str) -> int:
        """The process id of one of the servers, or of supervisord."""
        supervisor = Supervisor(self.project.home)
        found = supervisor.call("getPID") if server == "supervisord" else supervisor.states()[server]["pid"]
        assert found, f"{server} does not run"
        return int(found)

    @contextmanager
    def without(self, server: str) -> Iterator[None]:
        """Without one server, as after `supervisorctl stop`; afterwards it is healthy again."""
        home = self.project.home
        supervisor = Supervisor(home)
        supervisor.call("stopProcess", server)
        try:
            yield
        finally:
            since = datetime.now(UTC)  # it alone is waited for: the tries of tasks that need it take half a minute
            supervisor.start(server)
            Waiting(home, current_ports(home), supervisor, since, print, left={server}).run(RUN_SECONDS)

    def up(self) -> None:
        """What a person does: `evergreen up`."""
        self.start_seconds = stack.up(self.project).seconds or self.start_seconds

    def allowed(self, undisturbed: float) -> float:
        """How long a disturbed run may take: a minute more than an undisturbed one.

        On a machine so busy that a start of the servers and a run take longer than that minute: these two.
        """
        return undisturbed + max(60, self.start_seconds + undisturbed)

    # Runs

    def retrain(self, as_of: Any = AS_OF) -> Run:
        """Ask for a retrain run."""
        return self.api.trigger("small_retrain", as_of=as_of)

    def ended(self, run: Run) -> dict[str, str | None]:
        """Each task's state at the successful end of a run."""
        self.api.wait(run, RUN_SECONDS)
        return self.states(run)

    def states(self, run: Run) -> dict[str, str | None]:
        """Each task's state now."""
        return {task.label: task.state for task in self.api.tasks(run)}

    def log(self, run: Run, task: str) -> str:
        """The log of a task's last try."""
        (found,) = [one for one in self.api.tasks(run) if one.id == task]
        return self.api.log(run, found, lines=1000)

    def wait_for(self, run: Run, task: str, state: str) -> None:
        """Return when a task of the run is in a state."""
        until(lambda: self.states(run).get(task) == state, RUN_SECONDS, f"`{task}` of {run} does not get {state}")

    def mark_failed(self, run: Run) -> None:
        """What the button of Airflow's page does."""
        with client(timeout=30) as http:  # Airflow's SQLite may be busy
            given = {"username": USER, "password": password(self.project.home)}
            token = http.post(f"{self.api.url}/auth/token", json=given).json()["access_token"]
            answer = http.patch(
                f"{self.api.url}/api/v2/dags/{run.dag}/dagRuns/{quote(run.id)}",
                json={"state": "failed"},
                headers={"Authorization": f"Bearer {token}"},
            )
        assert answer.status_code == 200, answer.text

    # The world

    def deliver(self, number: int) -> None:
        """The sources have what is known on a day, and the clock stands there."""
        write_drops(self.project.root / "drops", days=DAYS, until=number)
        set_replay(self.project.home, day(number))

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `evergreen` in the clone, beside the servers."""
        evergreen = str(Path(sys.executable).parent / "evergreen")
        return subprocess.Popen([evergreen, *arguments], cwd=self.project.root)


@contextmanager
def running(root: Path) -> Iterator[Drills]:
    """The stack of a fresh clone, its lake filled up to day 63; the clock stands there."""
    clone_repository(root, SMALL + "schedule: {ingest: null, score: null, monitor: null, retrain: null}\n")
    write_drops(root / "drops", days=DAYS, until=63)
    armed = root.parent / "armed"
    armed.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        given = {"EVERGREEN_PORT": str(free_ports()), "EVERGREEN_FAULTS": str(armed), "PATH": path}
        for name, value in (IDENTITY | given).items():
            patch.setenv(name, value)
        project = Project.load(root)
        set_replay(project.home, AS_OF)
        try:
            started = stack.up(project)
            with AirflowApi(project.home) as api:
                for stage in STAGES:
                    api.wait_for_dag(f"small_{stage}", RUN_SECONDS)
                    api.unpause(f"small_{stage}")
                drills = Drills(project, api, armed, started.seconds)
                drills.ended(api.trigger("small_ingest", as_of=AS_OF))
                yield drills
        finally:
            patch.delenv("EVERGREEN_FAULTS")
            stack.down(project)
