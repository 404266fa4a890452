"""Real servers for tests, on free loopback ports, ended by their process group when the session ends."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from evergreen.local import postgres
from evergreen.local.ports import HOST, OFFSETS
from tests.brokers import KafkaServer
from tests.buckets import gcs_server
from tests.web import Site, web_site


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports() -> int:
    """A port that is free, as are those that follow for the other servers.

    Below those that systems give to outgoing connections: until the servers listen, seconds later, one of these would
    take it.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with ExitStack() as held:
            try:
                for offset in range(max(OFFSETS.values()) + 1):
                    held.enter_context(socket.socket()).bind((HOST, port + offset))
            except OSError:
                continue
        return port


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run an MLflow server on a database in `folder`; give its URI once it answers."""
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--serve-artifacts", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    server = subprocess.Popen(
        command, env=os.environ | quiet, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert server.stdout is not None
    log: deque[str] = deque(maxlen=50)
    try:
        for line in server.stdout:
            log.append(line)
            if "Application startup complete" in line:
                break
        else:
            raise AssertionError("MLflow did not start:\n" + "".join(log))
        drain = threading.Thread(target=log.extend, args=(server.stdout,), daemon=True)
        drain.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        server.stdout.close()


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The session's MLflow server; tests keep apart by the names of their projects."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


class PostgresServer:
    """A PostgreSQL of its own, which a test may stop, kill, restart and rewind."""

    password = "s3cret-marker"

    def __init__(self, folder: Path, rights: str = "SUPERUSER REPLICATION") -> None:
        self.data, self.port = folder / "data", free_port()
        self._process: subprocess.Popen[str] | None = None
        self._rights = rights

    @property
    def uri(self) -> str:
        """What AIRFLOW_CONN_... is set to."""
        return f"postgres://evergreen:{self.password}@127.0.0.1:{self.port}/evergreen"

    def start(self) -> None:
        """Make the cluster where it is not there, run the server, and return when it takes connections."""
        postgres.make_cluster(self.data, self.password, self._rights)
        quick = ("fsync=off", "autovacuum=off", "shared_buffers=32MB", "max_connections=100")  # nothing by itself
        self._process = subprocess.Popen(
            postgres.server_command(self.data, self.port, *quick), stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert self._process.stderr is not None
        log: deque[str] = deque(maxlen=50)
        for line in self._process.stderr:
            log.append(line)
            if "database system is ready to accept" in line:
                break
        else:
            raise AssertionError("PostgreSQL did not start:\n" + "".join(log))
        self._drain = threading.Thread(target=log.extend, args=(self._process.stderr,), daemon=True)
        self._drain.start()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: in order, or with SIGQUIT as a crash does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._drain.join(60)  # its other processes hold the pipe: they are gone too
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._process = None

    def kill(self) -> None:
        """End its first process as the kernel would; the others follow."""
        self.stop(signal.SIGKILL)

    def connect(self) -> Any:
        """A connection where each statement is a transaction until BEGIN."""
        from adbc_driver_postgresql import dbapi

        return dbapi.connect(self.uri.replace("postgres:", "postgresql:"), autocommit=True)

    def run(self, *statements: str) -> None:
        """Run statements, each a transaction."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def value(self, query: str) -> Any:
        """The one value of a query."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0]


@contextmanager
def running_postgres(folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL in a folder."""
    server = PostgresServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """The session's PostgreSQL; tests keep apart by the names of their tables."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server of the test's own."""
    with web_site() as site:
        yield site


@pytest.fixture(scope="session")
def gcs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The session's fake-gcs-server; tests keep apart by the names of their buckets."""
    with gcs_server(tmp_path_factory.mktemp("gcs"), free_port()) as url:
        yield url


@contextmanager
def kafka_server(folder: Path, sasl: tuple[int, str] | None = None) -> Iterator[KafkaServer]:
    """Run a Kafka broker with its state in `folder`; with `sasl`, also on that port for who knows that password."""
    server = KafkaServer(folder, free_port(), free_port(), sasl)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """The session's Kafka broker; tests keep apart by the names of their topics."""
    with kafka_server(tmp_path_factory.mktemp("kafka")) as server:
        yield server
