"""PostgreSQL of the local stack: made once, closed to others, started only where a project asks for it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from evergreen.errors import ServerError
from evergreen.local import postgres, stack
from evergreen.local.health import Waiting
from evergreen.local.ports import Ports
from evergreen.local.processes import marked, wait_gone
from evergreen.local.program import Program
from evergreen.local.servers import SERVERS, asked_servers, connections
from evergreen.local.settings import COMMON
from evergreen.local.supervisor import connect, launch, shut_down
from evergreen.paths import Home
from evergreen.project import Project
from evergreen.sources.connections import find_connection, keep_connections
from tests.conftest import SMALL
from tests.servers import free_ports


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home below a folder that only its owner may enter, whose supervisord, if the test starts one, is ended."""
    home = Home(tmp_path / "closed" / "home")
    home.root.mkdir(parents=True)
    home.root.parent.chmod(0o700)
    yield home
    shut_down(home)


def test_it_runs_under_supervisord_and_comes_back_after_a_kill(home: Home) -> None:
    ports = Ports(free_ports())
    postgres.prepare(home, Ports(9000))
    program = postgres.program(home, ports)
    supervisor = launch(home, [program], COMMON)

    def start() -> int:
        supervisor.start("postgres")
        Waiting(home, ports, supervisor, datetime.now(UTC), print, [SERVERS["postgres"]], {"postgres"}).run(timeout=60)
        return int(supervisor.states()["postgres"]["pid"])

    first = start()
    uri = postgres.connection_uri(home, ports)
    ask(uri, "CREATE TABLE kept AS SELECT 7 AS value")
    server = psutil.Process(first)
    listening = {one.laddr.ip for process in [server, *server.children()] for one in sockets(process)
                 if one.status == psutil.CONN_LISTEN}  # fmt: skip
    assert listening == {"127.0.0.1"}
    assert (server.uids().real == 0) is False

    with connection(uri):  # somebody who stays connected
        os.kill(first, signal.SIGKILL)
        assert wait_gone([server], 30)
        assert start() != first
    assert ask(uri, "SELECT value FROM kept") == 7
    with connection(uri):
        supervisor.call("stopProcess", "postgres", True)
    assert "database system is shut down" in (home.logs / "postgres.log").read_text()
    shut_down(home)
    assert marked(str(home.root)) == []
    assert connect(home) is None


def test_the_cluster_and_its_password_are_made_once_and_closed_to_others(home: Home) -> None:
    postgres.prepare(home, Ports(9000))
    secret, data = home.postgres / "password", home.postgres / "data"
    before = secret.read_text(), (data / "pg_hba.conf").read_text()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert len(before[0]) >= 32
    postgres.prepare(home, Ports(9000))
    assert (secret.read_text(), (data / "pg_hba.conf").read_text()) == before
    ports = Ports(free_ports())
    server = subprocess.Popen(
        postgres.server_command(data, ports.of("postgres")), stderr=subprocess.PIPE, start_new_session=True
    )
    assert server.stderr is not None
    with server, server.stderr as log:
        assert any(b"ready to accept" in line for line in log)
        uri = postgres.connection_uri(home, ports)
        assert ask(uri, "SELECT 1") == 1
        for wrong in (uri.replace(before[0], "x"), uri.replace("evergreen:", "postgres:")):
            with pytest.raises(Exception, match=r"password authentication failed|no pg_hba.conf entry"):
                ask(wrong, "SELECT 1")
        server.send_signal(signal.SIGINT)


def test_a_cluster_that_was_not_finished_is_made_again(home: Home) -> None:
    half = home.postgres / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    postgres.prepare(home, Ports(9000))
    assert not half.exists()
    assert (home.postgres / "data" / "pg_hba.conf").exists()


def test_without_a_cluster_there_is_no_connection(home: Home) -> None:
    with pytest.raises(ServerError, match="`evergreen up` makes it"):
        postgres.connection_uri(home, Ports(9000))


def test_a_project_asks_for_it_by_the_name_of_its_connection(make_project: Callable[..., Project]) -> None:
    assert asked_servers(make_project()) == []
    source = "{kind: csv, path: drops/jobs-*.csv}"
    for other in ("{kind: postgres, connection: warehouse, table: jobs}", "{kind: csv, path: evergreen_postgres}"):
        assert asked_servers(make_project(SMALL.replace(source, other))) == []
    asking = make_project(SMALL.replace(source, "{kind: postgres, connection: evergreen_postgres, table: jobs}"))
    assert asked_servers(asking) == [SERVERS["postgres"]]
    postgres.prepare(asking.home, Ports(9000))
    keep_connections(asking.home, connections(asking, Ports(9000)))
    assert stat.S_IMODE(asking.home.connections.stat().st_mode) == 0o600
    told = {"AIRFLOW_CONN_EVERGREEN_POSTGRES": json.loads(asking.home.connections.read_text())["evergreen_postgres"]}
    found = find_connection("evergreen_postgres", ("postgres",), told)
    assert (found.port, found.secret()) == (9002, (asking.home.postgres / "password").read_text())


def test_servers_that_run_without_it_are_said_to_need_a_new_start(home: Home) -> None:
    supervisor = launch(home, [Program("mlflow", ("true",))], COMMON)
    with pytest.raises(ServerError, match="before a source named postgres: `evergreen down`, then `evergreen up`"):
        stack._require_known(supervisor, [postgres.program(home, Ports(9000))])


def sockets(process: psutil.Process) -> list[Any]:
    """None of a worker that has ended by now."""
    with suppress(psutil.NoSuchProcess):
        return list(process.net_connections("tcp"))
    return []


def connection(uri: str) -> Any:
    from adbc_driver_postgresql import dbapi

    return dbapi.connect(uri.replace("postgres:", "postgresql:", 1), autocommit=True)


def ask(uri: str, sql: str) -> Any:
    with connection(uri) as session, session.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None
