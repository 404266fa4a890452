"""The servers of one laptop: up, down, status."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from evergreen.errors import ServerError
from evergreen.files import write_atomic
from evergreen.local import airflow, mlflow
from evergreen.local.health import ALWAYS_THERE, Waiting, client, healthy
from evergreen.local.ports import (
    ALWAYS,
    DEFAULT,
    Ports,
    current_ports,
    recorded_ports,
    require_free,
    wanted_ports,
)
from evergreen.local.processes import end, marked
from evergreen.local.program import Program
from evergreen.local.servers import asked_servers, connections
from evergreen.local.settings import environment
from evergreen.local.supervisor import Supervisor, connect, launch, program_log, shut_down
from evergreen.locks import lock_here
from evergreen.paths import Home
from evergreen.project import Project
from evergreen.sources.connections import OURS, keep_connections

START_SECONDS = 180


@dataclass(frozen=True)
class Stack:
    """A running stack: where it is and how to log in. `started` is False where it ran already.

    `others` are the addresses of the servers that the project's sources ask for, by what people call them.
    """

    airflow_url: str
    mlflow_url: str
    user: str
    password: str
    others: dict[str, str]
    started: bool
    seconds: float
    local: bool = True  # `evergreen up` started it


@dataclass(frozen=True)
class ServerStatus:
    """One server. `state` is running, starting, restarting, failed or stopped; `healthy` is its own word for it."""

    name: str
    state: str
    healthy: bool
    pid: int | None
    url: str | None  # Airflow's and MLflow's, of the others host and port
    log: Path


def up(project: Project, *, progress: Callable[[str], None] = print, timeout: float = START_SECONDS) -> Stack:
    """Start the servers and return when all are healthy; servers that run are left alone.

    Raises ServerError for a busy port, or naming the server that does not come up within `timeout` seconds, with the
    end of its log.
    """
    home, began = project.home, time.monotonic()
    with lock_here(home, "stack", timeout=timeout + 60):
        supervisor = connect(home)
        ports = _ports(home, running=supervisor is not None)
        if supervisor is not None and _all_healthy(project, ports):
            progress("the servers are up already")
            return _stack(project, ports, progress, started=False, seconds=0)
        since = datetime.now(UTC)
        if supervisor is None:
            supervisor = _launch(project, ports, progress)
        programs = _programs(project, ports)
        _require_known(supervisor, programs)
        for program in programs:
            supervisor.start(program.name)
        asked = asked_servers(project)
        Waiting(home, ports, supervisor, since, progress, asked, {program.name for program in programs}).run(timeout)
    return _stack(project, ports, progress, started=True, seconds=time.monotonic() - began)


def down(project: Project, *, progress: Callable[[str], None] = print) -> None:
    """Stop the project's servers; see `stop`."""
    stop(project.home, progress=progress)


def stop(home: Home, *, progress: Callable[[str], None] = print) -> None:
    """Stop the servers, and whatever of theirs was left over; return when all processes are gone."""
    with lock_here(home, "stack", timeout=START_SECONDS + 60):
        was_up = connect(home) is not None
        left = shut_down(home)
        (home.run / "stack.json").unlink(missing_ok=True)
    if left:
        progress(f"ended {left} processes that were left over")
    progress("the servers are down" if was_up or left else "the servers were down already")


def status(project: Project) -> list[ServerStatus]:
    """What each server does right now."""
    home, ports = project.home, current_ports(project.home)
    supervisor = connect(home)
    states = supervisor.states() if supervisor else {}
    names, asked = [program.name for program in _programs(project, ports)], asked_servers(project)
    with client(timeout=2) as http:
        well = healthy(http, ports, asked) if supervisor else set()
    urls = {"api-server": ports.airflow_url, "mlflow": ports.mlflow_url}
    urls |= {server.name: server.address(ports) for server in asked}
    found = []
    for name in names:
        info = states.get(name, {})
        state = STATES.get(info.get("statename", "STOPPED"), "stopped")
        found.append(
            ServerStatus(name, state, name in well, info.get("pid") or None, urls.get(name), program_log(home, name))
        )
    return found


STATES = {"RUNNING": "running", "STARTING": "starting", "BACKOFF": "restarting", "FATAL": "failed"}


def _programs(project: Project, ports: Ports) -> list[Program]:
    """The servers of every project, and those that this one's sources name."""
    asked = [server.program(project.home, ports) for server in asked_servers(project)]
    return [*airflow.programs(), mlflow.program(project.home, ports), *asked]


def _require_known(supervisor: Supervisor, programs: list[Program]) -> None:
    known = supervisor.states()
    if missing := [program.name for program in programs if program.name not in known]:
        raise ServerError(
            f"the servers were started before a source named {', '.join(missing)}: "
            "`evergreen down`, then `evergreen up` starts it too"
        )


def _ports(home: Home, running: bool) -> Ports:
    """The ports to use: those of the running stack, which a new wish cannot move, else those wanted."""
    wanted, recorded = wanted_ports(), recorded_ports(home)
    if not running or recorded is None:
        return wanted or Ports(DEFAULT)
    if wanted is not None and wanted != recorded:
        raise ServerError(
            f"the servers run on port {recorded.base} and EVERGREEN_PORT asks for {wanted.base}: "
            "stop them first (`evergreen down`), or leave the setting out"
        )
    return recorded


def _launch(project: Project, ports: Ports, progress: Callable[[str], None]) -> Supervisor:
    """supervisord with MLflow starting in it while Airflow's database is made ready."""
    home = project.home
    left = end(marked(str(home.root)), grace=5)
    if left:
        progress(f"ended {left} processes left over from a stack that was killed")
    asked = asked_servers(project)
    require_free(ports, (*ALWAYS, *(name for server in asked for name in server.ports)))
    airflow.prepare(home)
    mlflow.prepare(home)
    for server in asked:
        server.prepare(home, ports)
    keep_connections(home, connections(project, ports))
    environ = environment(project, ports)
    supervisor = launch(home, _programs(project, ports), environ)
    write_atomic(home.run / "stack.json", json.dumps({"port": ports.base}))
    supervisor.start("mlflow")
    began = time.monotonic()
    if airflow.migrate(home, environ):
        progress(f"Airflow's database is ready ({time.monotonic() - began:.0f} s)")
    return supervisor


def _all_healthy(project: Project, ports: Ports) -> bool:
    asked = asked_servers(project)
    with client(timeout=3) as http:
        return healthy(http, ports, asked) == ALWAYS_THERE | {server.name for server in asked}


def _stack(project: Project, ports: Ports, progress: Callable[[str], None], *, started: bool, seconds: float) -> Stack:
    home, asked = project.home, asked_servers(project)
    others = {server.label: server.address(ports) for server in asked}
    stack = Stack(ports.airflow_url, ports.mlflow_url, airflow.USER, airflow.password(home), others, started, seconds)
    progress(f"Airflow {stack.airflow_url} (log in as {stack.user}, password {stack.password})")
    progress(f"MLflow  {stack.mlflow_url}")
    for server in asked:
        progress(f"{server.label} {server.address(ports)} (connection {OURS}{server.name}, in {home.connections})")
    return stack
