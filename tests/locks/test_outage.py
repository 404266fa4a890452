"""The server of the ledger is killed and started again: who holds a lock keeps it, and who needs the server waits."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import psutil
import pytest

from evergreen.errors import EvergreenError
from evergreen.ledger import Ledger
from evergreen.locks import attempt, lock
from evergreen.paths import Home
from tests.faults.harm import until
from tests.ledger.stores import Store
from tests.ledger.test_store import a_decision
from tests.locks.conftest import Hold
from tests.locks.holding import NOTES
from tests.servers import PostgresServer, running_postgres

NAME = "small/jobs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of these tests' own."""
    with running_postgres(tmp_path_factory.mktemp("outage")) as server:
        yield server


@pytest.fixture
def rows(server: PostgresServer, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The one ledger of that server, and its locks."""
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", server.uri)
    yield Store("postgresql", server.uri.replace("postgres:", "postgresql+psycopg:"))
    server.run("DELETE FROM locks")


@contextmanager
def when_told(logger: str, happens: Callable[[], object]) -> Iterator[list[str]]:
    """What is logged there; at the first of it something happens."""
    told: list[str] = []

    class Once(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())
            if len(told) == 1:
                happens()

    handler = Once()
    logging.getLogger(logger).addHandler(handler)
    try:
        yield told
    finally:
        logging.getLogger(logger).removeHandler(handler)


def test_what_is_held_is_held_on_and_nobody_gets_in_between(
    home: Home, rows: Store, server: PostgresServer, hold: Hold, tmp_path: Path
) -> None:
    holder = hold(EVERGREEN_LOCK_LEASE="20")
    assert holder.said() == "held"
    (tmp_path / "lock.waits").write_text("stop")
    waiting = hold(EVERGREEN_FAULTS=str(tmp_path))
    until(lambda: psutil.Process(waiting.pid).status() == psutil.STATUS_STOPPED, 60, "it does not wait")
    waiting.wake()
    server.kill()
    server.start()
    until_when = "SELECT extract(epoch FROM expires_at)::float FROM locks"
    before = server.value(until_when)
    until(lambda: server.value(until_when) > before, 60, "the lock is not renewed")
    assert server.value("SELECT pid FROM locks") == holder.pid
    with attempt(home, NAME) as mine:
        assert not mine
    holder.go_on()
    assert holder.said() == "given back"
    assert waiting.said() == "held", waiting.end()
    waiting.go_on()
    assert waiting.end()[0] == 0
    first, second = str(holder.pid), str(waiting.pid)
    assert (home.root / NOTES).read_text().split() == ["in", first, "out", first, "in", second, "out", second]


def test_who_cannot_renew_it_in_time_ends_itself(home: Home, rows: Store, server: PostgresServer, hold: Hold) -> None:
    holder = hold(EVERGREEN_LOCK_LEASE="18")  # of whose end a twelfth is left for its last words
    assert holder.said() == "held"
    server.kill()
    code, told = holder.end()
    server.start()
    assert code == -signal.SIGKILL
    assert "the lock `small/jobs` cannot be renewed in the ledger postgresql+psycopg://evergreen:***@127.0.0.1" in told
    assert "could not be renewed before its lease ran out. This process ends itself" in told
    assert server.password not in told


def test_who_takes_a_lock_waits_for_the_server(home: Home, rows: Store, server: PostgresServer) -> None:
    with lock(home, NAME):
        pass  # its tables are there
    server.kill()
    with when_told("evergreen.locks.taking", server.start) as told, attempt(home, NAME) as mine:
        assert mine
    assert len(told) == 1
    assert told[0].endswith("is away: waiting for it to lock `small/jobs`")


def test_a_server_that_stays_away_is_an_error(
    home: Home, rows: Store, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock(home, NAME):
        pass
    monkeypatch.setenv("EVERGREEN_LEDGER_PATIENCE", "0.1")
    server.kill()
    said = r"(?s)the ledger .* cannot be used: .*run this again"
    with pytest.raises(EvergreenError, match=said), attempt(home, NAME):
        pass
    server.start()


def test_what_cannot_be_given_back_at_once_is_tried_again(home: Home, rows: Store, server: PostgresServer) -> None:
    starting = Thread(target=server.start)
    with lock(home, NAME):
        server.kill()
        starting.start()
    starting.join()
    assert rows.rows("SELECT name FROM locks") == []


def test_what_cannot_be_given_back_is_left_to_its_lease_and_the_work_stands(
    home: Home, rows: Store, server: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_PATIENCE", "0.1")
    with lock(home, NAME):
        server.kill()
        done = True
    assert done
    assert "the lock `small/jobs` was not given back" in caplog.text
    assert "it is free when its lease ends, after 60 s at most" in caplog.text
    server.start()
    with attempt(home, NAME) as mine:
        assert not mine
    rows.run("UPDATE locks SET expires_at = clock_timestamp()")
    with attempt(home, NAME) as mine:
        assert mine


def test_who_opens_the_ledger_waits_for_the_server(home: Home, rows: Store, server: PostgresServer) -> None:
    ledger = Ledger.open(home)
    for action in (lambda: ledger.record_decision(a_decision()).id, lambda: Ledger.open(home).decisions("small")[0].id):
        server.kill()
        with when_told("evergreen.ledger.away", server.start) as told:
            assert action() == "gate-small-b1"
        assert len(told) == 1
        assert told[0].endswith("/evergreen is away: waiting up to 30 s for it")


@pytest.mark.parametrize(("old", "new", "said"), [
    (PostgresServer.password, "wr0ng", "password authentication failed"),
    ("/evergreen", "/nowhere", 'database "nowhere" does not exist'),
])  # fmt: skip
def test_who_is_refused_does_not_wait(
    home: Home, rows: Store, server: PostgresServer, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", new.join(server.uri.rsplit(old, 1)))
    with when_told("evergreen.ledger.away", lambda: None) as told, pytest.raises(EvergreenError, match=said):
        Ledger.open(home)
    assert told == []
