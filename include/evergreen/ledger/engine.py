"""The connection to the ledger: SQLite in the home, or the database that EVERGREEN_LEDGER_URL names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from evergreen.disk import is_full
from evergreen.errors import EvergreenError
from evergreen.ledger.tables import decisions, metadata
from evergreen.locks import lock
from evergreen.paths import Home

BUSY_SECONDS = 30
_ALTERED = ("not a database", "malformed")  # what SQLite says of a file that something else wrote to


def ledger_engine(home: Home) -> Engine:
    """The engine, its tables made where they are missing; raises EvergreenError where it is unreachable or lost."""
    url = _url(home)
    try:
        # No pool: tasks are forked, and two processes must not share a connection.
        engine = create_engine(url, poolclass=NullPool, connect_args=_connect_args(url))
    except (NoSuchModuleError, ImportError) as error:
        raise EvergreenError(f"the ledger {_shown(url)} needs a driver that is not installed: {error}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    with reached(engine):
        missing = metadata.tables.keys() - set(inspect(engine).get_table_names())
        if decisions.name in missing:
            _refuse_lost(home, url)
        if missing:  # all, or those that an older version did not have
            with lock(home, "ledger"), writing(engine) as connection:
                metadata.create_all(connection)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes; it takes SQLite's write lock at once, so that what it reads stays true."""
    writer = engine.execution_options(evergreen_write=True)
    with reached(engine), writer.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that reads."""
    with reached(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reached(engine: Engine) -> Iterator[None]:
    """Turn a database that is away or locked into an error that names it."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        altered = any(words in str(error.orig) for words in _ALTERED)
        then = "restore it from a backup" if altered else "nothing was recorded, run this again"
        problem = str(error.orig)
        if problem == "disk I/O error" and is_full(Path(str(engine.url.database)).parent):
            problem = "database or disk is full"
        raise EvergreenError(f"the ledger {_shown(engine.url)} cannot be used: {problem}; {then}") from None


def _refuse_lost(home: Home, url: URL) -> None:
    """Raise EvergreenError rather than begin a ledger anew where one was: nobody would know the champion any more."""
    if url.database == str(home.ledger) and any(home.evidence.glob("*.parquet")):
        raise EvergreenError(
            f"the ledger {home.ledger} is missing or empty, but decisions were made here, whose evidence is in "
            f"{home.evidence}: restore it from a backup. Without it there is no champion; if that is what you want, "
            f"remove {home.evidence} too"
        )


def _url(home: Home) -> URL:
    text = os.environ.get("EVERGREEN_LEDGER_URL")
    if not text:
        home.root.mkdir(parents=True, exist_ok=True)
        return URL.create("sqlite", database=str(home.ledger))
    try:
        return make_url(text)
    except ArgumentError:
        raise EvergreenError("EVERGREEN_LEDGER_URL is not a database URL such as postgresql://user@host/db") from None


def _connect_args(url: URL) -> dict[str, Any]:
    return {"timeout": BUSY_SECONDS} if url.get_backend_name() == "sqlite" else {}


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, not where the driver guesses
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("evergreen_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
