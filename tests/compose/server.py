"""The compose stack as a drill sees it: its containers crash, go away and come back; its runs are asked for and timed.

Everything goes through the engine that DOCKER_HOST names, so it need not be on this machine; only the two published
ports must be reachable. A crash is a `kill -9` of all that a container runs: its own first process then ends, and the
restart policy acts, as it does after a crash and not after `docker kill`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from evergreen.errors import ServerError
from evergreen.local.api import ENDED, AirflowApi, Run
from evergreen.paths import Home
from tests.faults.harm import until

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 600.0
LATE = 90.0  # how much later than undisturbed a disturbed run may end
CLONE = "/evergreen/project"
SECRETS = "/opt/evergreen/deploy/entrypoint"


def compose_command() -> list[str]:
    """Docker's own `compose`, else the `docker-compose` that is in the path."""
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return [os.environ.get("DOCKER_COMPOSE", "docker-compose")]


@dataclass
class Server:
    """One stack. `env` is the file of its secrets and settings, `project` its name on the engine."""

    project: str
    env: Path
    files: tuple[str, ...]
    undisturbed: float = 0.0  # seconds of a retrain that nothing disturbs
    started: float | None = None  # seconds of a first start, from nothing to healthy
    moments: Iterator[int] | None = None

    # Commands

    def command(self) -> list[str]:
        """The command of compose for this stack."""
        files = [part for name in self.files for part in ("-f", str(ROOT / name))]
        return [*compose_command(), "-p", self.project, "--env-file", str(self.env), *files, "--profile", "demo"]

    def compose(self, *arguments: str, timeout: float = 1200, check: bool = True, text: str | None = None) -> str:
        """`docker compose <arguments>`; its output, or an AssertionError with it."""
        run = subprocess.run(
            [*self.command(), *arguments], input=text, capture_output=True, text=True, timeout=timeout, check=False,
            env=self.environment(),
        )  # fmt: skip
        assert run.returncode == 0 or not check, f"compose {' '.join(arguments)}:\n{run.stdout}\n{run.stderr}"
        return run.stdout

    def environment(self) -> dict[str, str]:
        """The caller's, without what compose would take for this stack's before it looks into the stack's file."""
        others = ("EVERGREEN_", "AIRFLOW_", "MLFLOW_", "STORAGE_EMULATOR_HOST", "COMPOSE_PROFILES")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return {name: kept[name] for name in kept.keys() - self.settings()} | {"COMPOSE_PROJECT_NAME": self.project}

    def settings(self) -> dict[str, str]:
        """What the stack's .env says."""
        lines = [line for line in self.env.read_text().splitlines() if "=" in line and not line.startswith("#")]
        return dict(line.split("=", 1) for line in lines)

    def inside(self, service: str, *command: str, text: str | None = None, timeout: float = 600) -> str:
        """What a command says in a service's container, with the secrets that its server has."""
        return self.compose("exec", "-T", service, SECRETS, *command, text=text, timeout=timeout)

    def python(self, code: str, timeout: float = 600) -> Any:
        """What Python code, run beside the loop's code in the project's folder, prints last, read as JSON."""
        before = "import json, sys; sys.path[:0] = ['/evergreen/project/examples/flights']\n"
        said = self.inside("scheduler", "python", "-P", "-", text=before + code, timeout=timeout)
        return json.loads(said.splitlines()[-1]) if said.strip() else None

    def sql(self, database: str, query: str) -> list[list[str]]:
        """The rows of a query, each value as text."""
        said = self.compose(
            "exec", "-T", "postgres", "psql", "-U", "postgres", "-d", database, "-At", "-F", "\t", "-c", query
        )
        return [line.split("\t") for line in said.splitlines()]

    # Life and death

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, those that stopped too."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def engine(self, *arguments: str) -> str:
        """`docker <arguments>`."""
        run = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=300)
        return run.stdout.strip()

    def remove(self, bucket: bool = True) -> None:
        """Take the stack away with all that it keeps, and whatever else was run in its name; on request not its bucket,
        which in production is elsewhere.
        """
        mine = ("--quiet", "--filter", f"label=com.docker.compose.project={self.project}")
        if found := self.engine("ps", "--all", *mine).split():
            self.engine("rm", "--force", *found)
        self.compose("down", "--remove-orphans", "--timeout", "5")
        volumes = self.engine("volume", "ls", *mine).split()
        if gone := [name for name in volumes if bucket or name != f"{self.project}_gcs"]:
            self.engine("volume", "rm", *gone)

    def up(self) -> float:
        """Start what is not running, and return when all is healthy; the seconds that this took."""
        began = time.monotonic()
        self.compose("up", "--detach", "--wait", "--no-build")
        return time.monotonic() - began

    def crash(self, service: str) -> None:
        """`kill -9` for every process of a service; it restarts by its policy."""
        for container in self.containers(service):
            before = self.engine("inspect", "--format", "{{.State.StartedAt}}", container)
            subprocess.run(["docker", "exec", container, "sh", "-c", "kill -9 -1"], capture_output=True, timeout=60)
            until(
                lambda c=container, b=before: self.engine("inspect", "--format", "{{.State.StartedAt}}", c) != b,
                60, f"{service} was not restarted",
            )  # fmt: skip

    def kill(self, *containers: str) -> None:
        """`docker kill`: gone, and not restarted, as a machine that lost its power."""
        self.engine("kill", *containers)

    @contextmanager
    def away(self, service: str) -> Iterator[None]:
        """Without a service; it is started again afterwards."""
        found = self.containers(service)
        self.kill(*found)
        try:
            yield
        finally:
            self.engine("start", *found)

    def healthy(self) -> None:
        """Return when every service that runs is healthy."""
        asked = ("ps", "--format", "{{.Service}} {{.Health}}")

        def ill() -> list[str]:
            return [line for line in self.compose(*asked).splitlines() if not line.endswith((" healthy", " "))]

        until(lambda: not ill(), 300, "not every service gets healthy")

    # Points

    def arm(self, point: str, action: str = "stop") -> None:
        """Whoever passes the point next is stopped, or killed, there."""
        self.inside("scheduler", "sh", "-c", f"mkdir -p /evergreen/armed && echo {action} > /evergreen/armed/{point}")

    def reached(self, point: str) -> None:
        """Return when somebody stands at an armed point."""
        asked = f"test -e /evergreen/armed/{point}.reached && rm /evergreen/armed/{point}.reached && echo yes || true"
        until(lambda: "yes" in self.inside("scheduler", "sh", "-c", asked), RUN_SECONDS, f"nobody came to `{point}`")

    # Runs

    @contextmanager
    def api(self) -> Iterator[AirflowApi]:
        """Airflow's API as people reach it, by the published port."""
        settings = self.settings()
        os.environ["AIRFLOW_ADMIN_PASSWORD"] = settings["AIRFLOW_ADMIN_PASSWORD"]
        with AirflowApi(Home(Path("unused")), f"http://127.0.0.1:{settings['AIRFLOW_PORT']}") as api:
            yield api

    def trigger(self, stage: str, as_of: datetime, **conf: Any) -> Run:
        """Ask for a run of a stage's DAG."""
        with self.api() as api:
            return api.trigger(f"flights_{stage}", conf, as_of=as_of)

    def run(self, stage: str, as_of: datetime, **conf: Any) -> float:
        """Run a stage's DAG undisturbed; its seconds."""
        run = self.trigger(stage, as_of, **conf)
        self.ended(run)
        return self.seconds(run)

    def ended(self, run: Run, timeout: float = RUN_SECONDS) -> None:
        """Return when a run has succeeded; that Airflow does not answer for a while is part of some drills."""
        with self.api() as api:
            until(lambda: answered(lambda: api.run(run.dag, run.id).state in ENDED), timeout, f"{run} does not end")
            api.wait(run, 30)  # which says what failed

    def seconds(self, run: Run) -> float:
        """How long a run took, by Airflow's own clock."""
        ((text,),) = self.sql(
            "airflow", f"select extract(epoch from end_date - start_date) from dag_run where run_id = '{run.id}'"
        )
        return float(text)

    def tries(self, run: Run) -> dict[str, tuple[int, str]]:
        """Of each task of a run: its last try, and the host that ran it."""
        asked = "select task_id, map_index, try_number, hostname from task_instance where run_id = "
        rows = self.sql("airflow", f"{asked}'{run.id}'")
        return {
            task if index == "-1" else f"{task}[{index}]": (int(number), host) for task, index, number, host in rows
        }

    def quiet(self) -> None:
        """Return when no run is under way."""
        asked = "select count(*) from dag_run where state in ('running', 'queued')"
        until(lambda: self.sql("airflow", asked) == [["0"]], RUN_SECONDS, "runs are still under way")

    def wait_for(self, run: Run, task: str, *states: str) -> None:
        """Return when a task of a run is in one of the states."""
        with self.api() as api:
            until(
                lambda: answered(lambda: any(one.id == task and one.state in states for one in api.tasks(run))),
                RUN_SECONDS, f"`{task}` does not get {' or '.join(states)}",
            )  # fmt: skip

    def moment(self) -> datetime:
        """A moment that no build has yet, at which more is known than at the one before: so that a retrain trains."""
        if self.moments is None:
            self.moments = count(len(self.inside("scheduler", "git", "-C", CLONE, "tag").split()))
        return weeks(1) + timedelta(days=next(self.moments), hours=12)

    # What came of it

    def build_of(self, as_of: datetime) -> str:
        """The id of the only build of a moment."""
        moment = as_of.astimezone(UTC)
        tags = self.inside("scheduler", "git", "-C", CLONE, "tag", "--list", f"build/*/{moment:%Y%m%dT%H%M}*")
        (tag,) = tags.split()
        return tag.rpartition("/")[2]

    def require_one_of_each(self, as_of: datetime) -> str:
        """Of a moment there is one build, run, version and decision; made again the build has the same bytes."""
        build = self.build_of(as_of)
        decisions = self.sql("evergreen", f"select count(*) from decisions where kind = 'gate' and build = '{build}'")
        assert decisions == [["1"]], decisions
        named = f"key = 'evergreen.build' and value = 'flights/{build}'"
        runs = self.sql("mlflow", f"select count(*) from tags where {named}")
        assert runs == [["1"]], runs
        versions = self.sql("mlflow", f"select count(*) from model_version_tags where name = 'flights' and {named}")
        assert versions == [["1"]], versions
        again = self.inside("scheduler", "evergreen", "reproduce", build)
        assert "byte-identical" in again, again
        return build

    def memory(self) -> dict[str, float]:
        """The proportional set size of each container in MB, from what its own processes tell of themselves."""
        code = "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ {sum += $2} END {print sum / 1024}'"
        users = {"postgres": "postgres", "redis": "999"}  # who may look at the server's own processes
        found = {}
        for line in self.compose("ps", "--format", "{{.Name}}").splitlines():
            user = [part for name, who in users.items() if f"-{name}-" in line for part in ("--user", who)]
            command = ["docker", "exec", *user, line, "sh", "-c", code]
            run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
            found[line.removeprefix(f"{self.project}-")] = float(run.stdout.strip() or 0)
        return found


def answered(ask: Callable[[], bool]) -> bool:
    """What is asked of a server; False where it does not answer, or not sensibly."""
    try:
        return ask()
    except ServerError:
        return False


def weeks(number: int) -> datetime:
    """The moment of the replay so many weeks after the first training."""
    return datetime.fromisoformat("2013-04-01T00:00-04:00") + number * timedelta(days=7)
