"""The real servers on free ports: healthy, on loopback only, back after a kill, gone when down."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest

from evergreen.errors import ServerError
from evergreen.local import stack
from evergreen.local.api import AirflowApi
from evergreen.local.ports import ALWAYS, HOST, Ports
from evergreen.local.processes import marked, wait_gone
from evergreen.local.servers import asked_servers
from evergreen.project import Project
from tests.conftest import SMALL
from tests.faults.harm import until
from tests.servers import free_ports

DAG = """
import logging

from airflow.sdk import Connection, Param, dag, task

@dag(schedule=None, params={"as_of": Param(None, type=["null", "string"])})
def probe():
    @task
    def names():
        return ["a", "b"]

    @task
    def work(name, params=None):
        found = Connection.get("evergreen_postgres")
        logging.getLogger("airflow.task").warning("as of %s by %s %s", params["as_of"], found.login, found.password)
        if name == "b":
            raise ValueError("planted")

    work.expand(name=names())

probe()
"""


@pytest.fixture
def project(make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("EVERGREEN_PORT", str(free_ports()))
    local = "{kind: postgres, connection: evergreen_postgres, table: jobs}"
    stream = "{kind: kafka, connection: evergreen_kafka, topic: outcomes}"
    text = SMALL.replace("{kind: csv, path: drops/jobs-*.csv}", local)
    project = make_project(text.replace("{kind: csv, path: drops/outcomes-*.csv}", stream))
    (project.root / "dags").mkdir()
    (project.root / "dags" / "probe_dag.py").write_text(DAG)
    yield project
    stack.down(project)


def processes(project: Project, program: str | None = None) -> list[psutil.Process]:
    return marked(str(project.home.root), program)


@pytest.mark.stack
def test_a_stack_lives_through_kills_and_leaves_nothing(project: Project) -> None:
    told: list[str] = []
    up = stack.up(project, progress=told.append)
    assert up.started
    database = next(text for text in told if text.startswith("PostgreSQL"))
    assert f"(connection evergreen_postgres, in {project.home.connections})" in database
    assert any(f"(connection evergreen_kafka, in {project.home.connections})" in text for text in told)
    until(lambda: all(server.healthy and server.state == "running" for server in stack.status(project)), 60, "not up")
    ports = Ports(int(up.airflow_url.rpartition(":")[2]))
    asked = (*ALWAYS, *(port for server in asked_servers(project) for port in server.ports))
    assert listeners(project) == {(HOST, ports.of(server)) for server in asked}

    said: list[str] = []
    assert not stack.up(project, progress=said.append).started
    assert "up already" in said[0]

    # MLflow's parent dies hard and leaves the port to its child; meanwhile Airflow works.
    parent = server_pid(project, "mlflow")
    os.kill(parent, signal.SIGKILL)
    a_failed_run_says_why(project)
    stack.up(project)
    assert server_pid(project, "mlflow") != parent

    before, parent_of_all = processes(project), supervisord(project)
    parent_of_all.kill()
    assert wait_gone([parent_of_all], 5)
    assert {server.state for server in stack.status(project)} == {"stopped"}
    assert stack.up(project, progress=said.append).started
    assert any("left over" in text for text in said)
    assert wait_gone(before, 0)

    stack.down(project, progress=said.append)
    assert processes(project) == []
    assert said[-1] == "the servers are down"
    stack.down(project, progress=said.append)
    assert said[-1] == "the servers were down already"


def a_failed_run_says_why(project: Project) -> None:
    with AirflowApi(project.home) as api:
        api.wait_for_dag("probe")
        assert api.import_errors() == {}
        api.unpause("probe")
        heard: list[tuple[str, str | None]] = []
        run = api.trigger("probe", {"as_of": "2013-04-01T00:00:00Z"})
        with pytest.raises(ServerError) as caught:
            api.wait(run, 300, on_task=lambda task: heard.append((task.label, task.state)))
        text = str(caught.value)
        assert "Failed: work [1]." in text
        assert "as of 2013-04-01T00:00:00Z by evergreen ***" in text  # Airflow knows a connection's password as secret
        assert "ValueError: planted" in text
        assert ("names", "success") in heard
        assert [known.id for known in api.runs("probe")] == [run.id]
        with pytest.raises(ServerError, match="404"):
            api.trigger("no_such_dag")


def listeners(project: Project) -> set[tuple[str, int]]:
    """Where the stack's processes listen."""
    found: set[tuple[str, int]] = set()
    for process in processes(project):
        with suppress(psutil.Error):  # a child of a moment has ended meanwhile; what listens stays
            connections = process.net_connections("inet")
            found |= {(one.laddr.ip, one.laddr.port) for one in connections if one.status == psutil.CONN_LISTEN}
    return found


def server_pid(project: Project, name: str) -> int:
    pid = next(server.pid for server in stack.status(project) if server.name == name)
    assert pid is not None
    return pid


def supervisord(project: Project) -> psutil.Process:
    return next(process for process in processes(project) if "supervisor.supervisord" in process.cmdline())
