"""Which servers a project wants of the local stack: those that its sources name as their connection.

A table whose source has `kind: postgres` and `connection: evergreen_postgres` reads from the PostgreSQL of this stack;
with `kind: kafka` and `connection: evergreen_kafka`, from its Kafka broker. So params.yaml alone says what runs, for
every command, and nothing has to be set beside it: `evergreen up` writes the connections into the home's
connections.json, where Airflow and the command line find them.
"""

from __future__ import annotations

from evergreen.local import kafka, postgres
from evergreen.local.ports import Ports
from evergreen.params import Params
from evergreen.project import Project

PREFIX = "evergreen_"
ON_REQUEST = {"postgres": ("postgres",), "kafka": ("kafka", "kafka-controller")}  # server to its ports


def asked_servers(params: Params) -> frozenset[str]:
    """Those of ON_REQUEST that a source of their kind names."""
    named = {(table.source.get("kind"), table.source.get("connection")) for table in params.tables.values()}
    return frozenset(server for server in ON_REQUEST if (server, PREFIX + server) in named)


def connections(project: Project, ports: Ports) -> dict[str, str]:
    """Of each server that the project asks for: the name of its connection, and its URI with the password."""
    made = {"kafka": kafka.connection_uri, "postgres": postgres.connection_uri}
    return {PREFIX + server: made[server](project.home, ports) for server in sorted(asked_servers(project.params))}
