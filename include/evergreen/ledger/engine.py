"""The connection to the ledger, brought to this code's version when it is opened; transactions and their errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError

from evergreen.disk import is_full
from evergreen.errors import EvergreenError
from evergreen.faults import point
from evergreen.ledger.away import wait_where_away
from evergreen.ledger.migrations import REVISIONS, migrate, version_of
from evergreen.ledger.tables import decisions
from evergreen.ledger.url import connect_args, ledger_url, patience, shown
from evergreen.locks import lock_here
from evergreen.paths import Home

_ALTERED = ("not a database", "malformed")  # what SQLite says of a file that something else wrote to


def ledger_engine(home: Home) -> Engine:
    """The engine, its tables made or migrated; raises EvergreenError where it is unreachable, lost or too new."""
    engine = connect(ledger_url(home))
    with _alone_if_new(home, engine), reading(engine) as connection:
        version = version_of(connection)
        if version is None and not inspect(connection).has_table(decisions.name):
            _refuse_lost(home, engine.url)
    bring_up(home, engine, version)
    return engine


def connect(url: URL, wait: float | None = None, **arguments: Any) -> Engine:
    """An engine for a ledger that may not be there yet; raises EvergreenError without its driver.

    Whoever opens a connection waits `wait` seconds for a server that is away, by default EVERGREEN_LEDGER_PATIENCE.
    `arguments` are what is said to the driver otherwise than by default, unless the URL says it.
    """
    try:
        # No pool: tasks are forked, and two processes must not share a connection.
        engine = create_engine(url, poolclass=NullPool, connect_args=connect_args(url, **arguments))
    except (NoSuchModuleError, ImportError) as error:
        raise EvergreenError(f"the ledger {shown(url)} needs a driver that is not installed: {error}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        wait_where_away(engine, patience() if wait is None else wait)
    return engine


def bring_up(home: Home, engine: Engine, version: str | None) -> None:
    """From `version` to the last, once, whoever else begins at the same time; raises EvergreenError for a newer one."""
    where, wanted = shown(engine.url), REVISIONS[-1]
    if version == wanted:
        return
    if version is not None and version not in REVISIONS:
        raise EvergreenError(
            f"the ledger {where} is of version {version}, written by a newer Evergreen; this code knows versions up to "
            f"{wanted}. Nothing was changed. Bring the code up to date (`git pull && make setup`)"
        )
    with lock_here(home, "ledger") if engine.dialect.name == "sqlite" else nullcontext():
        try:
            # Not `writing`: who waited for another's migration has to see it.
            with reached(engine), engine.execution_options(evergreen_write=True).begin() as connection:
                migrate(connection)
                point("ledger.migrated")
        except EvergreenError as error:
            raise EvergreenError(
                f"the ledger could not be brought from version {version or 'none'} to {wanted}: {error}. Where its "
                "role may not change tables, run a command once with the URL of the role that owns them"
            ) from None


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes. All that it reads is of one moment, and stays true until it ends or fails.

    On SQLite it takes the write lock at once; on PostgreSQL what two of them insert by the same key is an
    IntegrityError for the second, who sees what the first did when it begins again.
    """
    alone = engine.dialect.name == "sqlite"
    options: dict[str, Any] = {"evergreen_write": True} if alone else {"isolation_level": "REPEATABLE READ"}
    with reached(engine), engine.execution_options(**options).begin() as connection:
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
        problem = str(error.orig).partition("\nLINE ")[0].strip()  # PostgreSQL would go on with the statement
        if problem == "disk I/O error" and is_full(Path(str(engine.url.database)).parent):
            problem = "database or disk is full"
        raise EvergreenError(
            f"the ledger {shown(engine.url)} cannot be used: {problem}; {_then(engine, error)}"
        ) from None


def _then(engine: Engine, error: DBAPIError) -> str:
    if any(words in str(error.orig) for words in _ALTERED):
        return "restore it from a backup"
    if isinstance(error, ProgrammingError):
        return "see docs/ledger.md for the rights that its role needs, then run this again"
    if error.connection_invalidated:  # perhaps after it had committed: then running it again finds that
        return "run this again: what was recorded stands, and is not recorded twice"
    return "nothing was recorded, run this again"


def _refuse_lost(home: Home, url: URL) -> None:
    """Raise EvergreenError rather than begin a ledger anew where one was: nobody would know the champion any more."""
    if not any(home.evidence.glob("*.parquet")):
        return
    if url.database == str(home.ledger):
        what, then = f"the ledger {home.ledger} is missing or empty", "restore it from a backup"
    else:
        what = f"there is no ledger in {shown(url)} yet"
        then = f"`evergreen decisions copy` brings the one in {home.ledger} there"
    raise EvergreenError(
        f"{what}, but decisions were made here, whose evidence is in {home.evidence}: {then}. Without it there is no "
        f"champion; if that is what you want, remove {home.evidence} too"
    )


def _alone_if_new(home: Home, engine: Engine) -> AbstractContextManager[None]:
    """Of two processes that make one SQLite file, one fails: SQLite switches it to a WAL without waiting for a lock."""
    if engine.dialect.name != "sqlite":
        return nullcontext()
    file = Path(str(engine.url.database))
    return nullcontext() if file.exists() and file.stat().st_size else lock_here(home, "ledger")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, not where the driver guesses
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("evergreen_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
