"""Servers of the stack that sources ask for: the storage, and those that a project brings along."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from evergreen.errors import ParamsError, ServerError
from evergreen.local.health import Waiting
from evergreen.local.ports import Ports
from evergreen.local.servers import asked_servers, connections
from evergreen.local.settings import COMMON
from evergreen.local.supervisor import launch, shut_down
from evergreen.project import Project
from evergreen.sources.connections import find_connection, keep_connections
from evergreen.sources.gcs_client import open_client
from tests.conftest import SMALL
from tests.servers import free_ports

SITE = """
services:
  site: {command: "python site.py {port}"}
"""
SCRIPT = """
import http.server, sys
import beside
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
STORAGE = SMALL.replace(
    "{kind: csv, path: drops/jobs-*.csv}", "{kind: gcs, connection: evergreen_gcs, bucket: things, path: jobs-*.csv}"
)


def test_they_run_under_supervisord_and_become_connections(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(STORAGE + SITE)
    (project.root / "site.py").write_text(SCRIPT)
    (project.root / "beside.py").write_text("")
    servers = asked_servers(project)
    assert [server.name for server in servers] == ["gcs", "site"]
    ports = Ports(free_ports())
    for server in servers:
        server.prepare(project.home, ports)
    keep_connections(project.home, connections(project, ports))
    supervisor = launch(project.home, [server.program(project.home, ports) for server in servers], COMMON)
    try:
        for server in servers:
            supervisor.start(server.name)
        Waiting(project.home, ports, supervisor, datetime.now(UTC), print, servers, {"gcs", "site"}).run(timeout=60)
        found = find_connection("evergreen_site", ("http",), {}, project.home)
        assert (found.host, found.port) == ("127.0.0.1", ports.of("service-0"))
        monkeypatch.setenv("EVERGREEN_HOME", str(project.home.root))
        client = open_client("evergreen_gcs")
        client.create_bucket("things").blob("x").upload_from_string("1")
        client.close()
        assert (project.home.gcs / "things" / "x").is_file(), "objects are kept in the home"
    finally:
        shut_down(project.home)


def test_a_service_must_listen_where_it_is_told(make_project: Callable[..., Project]) -> None:
    with pytest.raises(ParamsError, match=r"services.site.command.*lacks `{port}`"):
        make_project(SMALL + SITE.replace(" {port}", ""))


def test_a_name_of_the_stack_is_taken(make_project: Callable[..., Project]) -> None:
    with pytest.raises(ParamsError, match=r"`services.mlflow`: the stack has a server of this name"):
        asked_servers(make_project(SMALL + SITE.replace("site:", "mlflow:")))


def test_a_command_that_is_not_there_is_named(make_project: Callable[..., Project]) -> None:
    project = make_project(SMALL + SITE.replace("python site.py", "no-such-program"))
    (server,) = asked_servers(project)
    with pytest.raises(ServerError, match=r"`services\.site\.command`: there is no program `no-such-program`"):
        server.program(project.home, Ports(9000))
    program = project.root / "serve"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (server,) = asked_servers(make_project(SMALL + SITE.replace("python site.py", "./serve"), project.root))
    assert server.program(project.home, Ports(9000)).command == (str(program), "9010")
