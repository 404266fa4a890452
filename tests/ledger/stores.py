"""The stores that a ledger may be in, each empty; a test that asks for one runs on every one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine

from evergreen.paths import Home
from tests.servers import PostgresServer

KINDS = ("sqlite", "postgresql")
_numbers = itertools.count()


@dataclass(frozen=True)
class Store:
    """A database that is there, with no ledger in it yet."""

    kind: str
    url: str

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection beside the ledger's own, in a transaction."""
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.begin() as connection:
            yield connection

    def run(self, statement: str) -> None:
        """Run one statement."""
        with self.connected() as connection:
            connection.exec_driver_sql(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.connected() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Another writer is at it, and does not end."""
        with self.connected() as connection:
            how = "BEGIN IMMEDIATE" if self.kind == "sqlite" else "LOCK TABLE decisions, promotions IN EXCLUSIVE MODE"
            connection.exec_driver_sql(how)
            yield


def in_home(home: Home) -> Store:
    """SQLite, where the ledger is by default."""
    return Store("sqlite", f"sqlite:///{home.ledger}")


def in_postgres(server: PostgresServer) -> Store:
    """A new database of a running server."""
    name = f"ledger_{next(_numbers)}"
    server.run(f"CREATE DATABASE {name}")
    return Store("postgresql", server.uri.replace("postgres:", "postgresql+psycopg:").rpartition("/")[0] + f"/{name}")
