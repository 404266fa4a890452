"""Which servers a project wants of the local stack, beside those that every project has.

Those of `SERVERS` are run where a source of their kind names them as its connection: `kind: postgres` with
`connection: evergreen_postgres` reads from the PostgreSQL of this stack. Those of `services` in params.yaml the project
brings along. Each becomes the connection `evergreen_<name>`. So params.yaml alone says what runs, for every command,
and nothing has to be set beside it: `evergreen up` writes the connections into the home's connections.json, where
Airflow and the command line find them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evergreen.errors import ParamsError
from evergreen.local import gcs, kafka, postgres, services
from evergreen.local.ports import HOST, OFFSETS, Ports, listens
from evergreen.local.program import Program
from evergreen.paths import Home
from evergreen.project import Project
from evergreen.sources.connections import OURS


@dataclass(frozen=True)
class Server:
    """One of them."""

    name: str
    label: str  # for people
    ports: tuple[str, ...]  # names that Ports.of knows; the first is the one to connect to
    prepare: Callable[[Home, Ports], None]  # makes what it needs before it starts; what is there stays
    program: Callable[[Home, Ports], Program]
    connection_uri: Callable[[Home, Ports], str]  # with the password; only after `prepare`
    is_ready: Callable[[int], bool]

    def address(self, ports: Ports) -> str:
        """Host and port, without a password."""
        return f"{HOST}:{ports.of(self.ports[0])}"


SERVERS = {
    server.name: server
    for server in (
        Server(
            "postgres", "PostgreSQL", ("postgres",),
            postgres.prepare, postgres.program, postgres.connection_uri, postgres.is_ready,
        ),
        Server(
            "kafka", "Kafka", ("kafka", "kafka-controller"),
            kafka.prepare, kafka.program, kafka.connection_uri, kafka.is_ready,
        ),
        Server("gcs", "Storage", ("gcs",), gcs.prepare, gcs.program, gcs.connection_uri, listens),
    )
}  # fmt: skip


def asked_servers(project: Project) -> list[Server]:
    """Those of SERVERS that a source of their kind names, and the project's services.

    Raises ParamsError for a service of a name that is taken.
    """
    tables = project.params.tables.values()
    named = {(table.source.get("kind"), table.source.get("connection")) for table in tables}
    asked = [server for server in SERVERS.values() if (server.name, OURS + server.name) in named]
    return asked + [_service(project, number, name) for number, name in enumerate(project.params.services)]


def connections(project: Project, ports: Ports) -> dict[str, str]:
    """Of each server that the project asks for: the name of its connection, and its URI with the password."""
    return {OURS + server.name: server.connection_uri(project.home, ports) for server in asked_servers(project)}


def _service(project: Project, number: int, name: str) -> Server:
    taken = {*OFFSETS, "scheduler", "dag-processor", "api-server"}
    if name in taken:
        raise ParamsError(f"params.yaml: `services.{name}`: the stack has a server of this name; choose another one")
    place = f"service-{number}"

    def program(home: Home, ports: Ports) -> Program:
        return services.program(name, project.params.services[name], project.root, ports.of(place))

    def uri(home: Home, ports: Ports) -> str:
        return f"http://{HOST}:{ports.of(place)}"

    return Server(name, name, (place,), lambda home, ports: None, program, uri, listens)
