"""PostgreSQL and Evergreen killed, cut off and full, while data keeps arriving and being updated."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evergreen.errors import SourceError
from evergreen.project import Project
from evergreen.sources.postgres_session import Session
from evergreen.stages.ingest import DeliveriesRefused
from tests.servers import PostgresServer, running_postgres
from tests.sources.postgres_worlds import MakeWorld, World

POINTS = (
    "postgres.begun", "postgres.batch", "postgres.read", "ingest.written", "ingest.placed", "ingest.before_commit",
    "manifest.written", "ingest.committed",
)  # fmt: skip


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server that the test may kill."""
    with running_postgres(tmp_path) as server:
        yield server


@contextmanager
def busy(world: World) -> Iterator[None]:
    """Two writers: short and long transactions, savepoints and undone ones, until the block ends."""
    stop, failed = threading.Event(), list[BaseException]()

    def write(number: int) -> None:
        key = 1_000_000 * (number + 1)
        try:
            with world.server.connect() as connection, connection.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute("BEGIN")
                    for _ in range(1 + 20 * number):
                        key += 1
                        cursor.execute(f"INSERT INTO {world.table} (id) VALUES ({key})")
                        cursor.execute("SAVEPOINT one")
                        old = key * 37 % 3000 // 2 * 2 + number  # no two writers wait for each other
                        cursor.execute(f"UPDATE {world.table} SET version = version + 1 WHERE id = {old}")
                        cursor.execute("ROLLBACK TO one" if key % 5 == 0 else "RELEASE one")
                    cursor.execute("ROLLBACK" if key % 7 == 0 else "COMMIT")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not failed


def test_killed_at_every_point_while_rows_change_nothing_is_missing_or_doubled(make_world: MakeWorld) -> None:
    world = make_world(chunk_rows=300)
    world.insert(0, 3000)
    with busy(world):
        for number, point in enumerate(POINTS):
            assert world.killed_at(f"{point}:{1 + number % 2}") == -signal.SIGKILL, point
        assert world.ingest().position["first"] is None
        world.insert(500_000, 100)
        for point in POINTS:
            world.update("id BETWEEN 500000 AND 500099")
            assert world.killed_at(point) == -signal.SIGKILL, point
            world.ingest()
    world.ingest()
    world.assert_whole()


@pytest.fixture
def wide(make_world: MakeWorld) -> World:
    """More than the buffers between the two hold."""
    world = make_world(types=WIDE)
    world.insert(0, 300_000)
    return world


def test_a_session_ended_by_the_server_takes_nothing(wide: World) -> None:
    with ended_after_a_batch(wide, lambda: end_sessions(wide.server)), pytest.raises(DeliveriesRefused) as caught:
        wide.ingest()
    assert "terminating connection" in str(caught.value) or "server closed the connection" in str(caught.value)
    assert wide.taken() == {}
    wide.ingest()
    wide.assert_whole()


def end_sessions(server: PostgresServer) -> None:
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'evergreen'")


@contextmanager
def ended_after_a_batch(world: World, act: Callable[[], None]) -> Iterator[None]:
    """Do something to the server once, when the first batch was read."""
    from evergreen import faults

    acted, before = threading.Event(), faults.point

    def point(name: str) -> None:
        if name == "postgres.batch" and not acted.is_set():
            acted.set()
            act()

    faults.point = point
    try:
        yield
    finally:
        faults.point = before
    assert acted.is_set()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGQUIT, signal.SIGINT])
def test_a_server_that_is_restarted_while_it_is_read(
    own_server: PostgresServer, make_project: Callable[..., Project], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, how: signal.Signals,
) -> None:  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", own_server.uri)
    world = World(own_server, make_project, tmp_path / "project", types=WIDE)
    world.insert(0, 1000)
    world.ingest()
    world.insert(1000, 300_000)
    with ended_after_a_batch(world, lambda: own_server.stop(how)), pytest.raises(SourceError, match="changes from"):
        world.ingest()
    with pytest.raises(SourceError, match="Connection refused"):
        world.ingest()
    own_server.start()
    assert len(world.taken()) == 1000
    assert world.ingest().rows == 300_000
    world.assert_whole()


def test_a_server_that_hangs_is_given_up_and_a_later_run_goes_on(wide: World) -> None:
    wide.redeclare(types=WIDE, timeout="1 second")
    stopped = list[int]()

    def stop() -> None:
        stopped.append(wide.server.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'evergreen'"))
        os.kill(stopped[0], signal.SIGSTOP)

    try:
        with (
            ended_after_a_batch(wide, stop),
            pytest.raises(DeliveriesRefused, match=r"nothing came from the server for 1 s\. .* longer `timeout`"),
        ):
            wide.ingest()
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    assert wide.taken() == {}
    wide.redeclare(types=WIDE)
    wide.ingest()
    wide.assert_whole()


@pytest.mark.parametrize("query", ["SELECT pg_sleep(60)::text AS one", "BEGIN"])
def test_a_query_that_hangs_is_given_up_and_the_session_can_be_used_again(make_world: MakeWorld, query: str) -> None:
    make_world()
    with Session("warehouse", "jobs", timedelta(seconds=1)) as session:
        pid = session.rows("SELECT pg_backend_pid() AS pid")[0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(SourceError, match="nothing came from the server for 1 s"):
                session.run(query)
            session.close()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert session.rows("SELECT 1 AS one") == [{"one": 1}]


def test_a_server_that_takes_a_connection_and_says_nothing_is_given_up(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(timeout="1 second")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", world.server.uri.replace(str(world.server.port), str(port)))
        with pytest.raises(SourceError, match="nothing came from the server for 1 s"):
            world.ingest()


@pytest.mark.parametrize("timeout", ["statement_timeout", "transaction_timeout"])
def test_a_time_limit_of_the_role_does_not_end_the_scan_and_one_of_the_connection_does(
    own_server: PostgresServer, make_project: Callable[..., Project], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, timeout: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", own_server.uri)
    world = World(own_server, make_project, tmp_path / "project", where="pg_sleep(0.5)::text = ''")
    world.insert(0, 6)
    own_server.run(f"ALTER ROLE evergreen SET {timeout} = '2s'")
    assert world.ingest().rows == 6
    own_server.run("ALTER ROLE evergreen RESET ALL")
    world.update("true")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{own_server.uri}?options=-c%20{timeout}%3D2s")
    with pytest.raises(SourceError, match=r"(statement|transaction) timeout"):
        world.ingest()


def test_a_commit_that_a_crash_takes_back_was_not_read(
    own_server: PostgresServer, make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `synchronous_commit = off` a commit is seen before it is in the log; a crash sets its number free again."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", own_server.uri)
    world = World(own_server, make_project, tmp_path / "project")
    own_server.run("ALTER SYSTEM SET wal_writer_delay = '4s'", "SELECT pg_reload_conf()")
    world.insert(0, 10)
    world.ingest()
    with own_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        flushed, key = True, 1000
        while flushed:  # the first one wakes the log's writer
            cursor.execute(f"INSERT INTO {world.table} (id) SELECT generate_series({key}, {key + 99})")
            cursor.execute("SELECT pg_sleep(0.1), pg_current_wal_flush_lsn() = pg_current_wal_insert_lsn()")
            flushed, key = cursor.fetchone()[1], key + 100
    assert world.ingest().rows == key - 1000
    own_server.kill()
    own_server.start()
    for number in range(3):
        world.insert(1_000_000 + number, 1)
    world.ingest()
    assert world.there() <= set(world.taken())


WIDE = {"id": "int64", "due": "timestamp", "version": "int64", "filler": "string"}
FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
"""


def test_a_full_disk_takes_nothing_and_a_later_run_goes_on(make_world: MakeWorld) -> None:
    from tests.sources.postgres_worlds import RUN

    world = make_world()
    world.insert(0, 200_000)
    run = subprocess.run(
        [sys.executable, "-c", FULL + RUN, str(world.project.root)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "File too large" in run.stderr
    assert world.taken() == {}
    world.ingest()
    world.assert_whole()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((r"marker@", "marker-wrong@"), "password authentication failed"),
        ((r"evergreen$", "nowhere"), 'database "nowhere" does not exist'),
        ((r"$", "?sslmode=require"), "server does not support SSL"),
        ((r"$", "?ssl_mode=require"), 'invalid connection option "ssl_mode"'),
        ((r"$", "?sslmode=marker"), "invalid sslmode value: it is not shown here"),
        ((r"$", "?marker@x=y"), "are all parts of its URI escaped?"),
        ((r"127.0.0.1", "nowhere.invalid"), 'could not translate host name "nowhere.invalid"'),
    ],
)
def test_no_error_and_no_log_shows_a_secret(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    change: tuple[str, str], words: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    world = make_world()
    world.insert(0, 10)
    result = world.ingest()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", re.sub(*change, world.server.uri))
    with pytest.raises(SourceError) as caught:
        world.ingest()
    assert words in str(caught.value)
    kept = [path.read_bytes().decode(errors="replace") for path in world.project.home.root.rglob("*") if path.is_file()]
    shown: list[Any] = [caught.value, caught.value.__cause__, caught.value.__context__, caplog.text, result, *kept]
    assert "marker" not in "\n".join(map(str, shown))
