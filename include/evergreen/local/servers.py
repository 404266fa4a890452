"""Which servers a project wants of the local stack: those that its sources name as their connection.

A table whose source has `kind: postgres` and `connection: evergreen_postgres` reads from the PostgreSQL of this stack.
So params.yaml alone says what runs, for every command, and nothing has to be set beside it.
"""

from __future__ import annotations

from evergreen.params import Params
from evergreen.sources.connections import variable

PREFIX = "evergreen_"
ON_REQUEST = ("postgres",)


def asked_servers(params: Params) -> frozenset[str]:
    """Those of ON_REQUEST that a source of their kind names."""
    named = {(table.source.get("kind"), table.source.get("connection")) for table in params.tables.values()}
    return frozenset(server for server in ON_REQUEST if (server, PREFIX + server) in named)


def connection_variable(server: str) -> str:
    """Where the connection of a server of this stack belongs: `AIRFLOW_CONN_EVERGREEN_POSTGRES`."""
    return variable(PREFIX + server)
