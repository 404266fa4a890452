"""The ingest DAG reads from a database whose connection only Airflow knows, and tells no one its password."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evergreen.clock import format_time
from evergreen.paths import Home
from evergreen.sources.connections import keep_connections
from tests.conftest import ROOT
from tests.data import day
from tests.pipeline.conftest import Loop
from tests.servers import PostgresServer

ROWS = 40
PARAMS = """
name: {name}
tables:
  jobs:
    source: {{kind: postgres, connection: {connection}, table: {name}.jobs}}
    key: [id]
    known_at: due
    columns: {{id: {{type: int64}}, due: {{type: timestamp}}}}
prediction: {{rows: jobs, at: due, label: {{value: id > 10, known_at: due}}}}
features: {{row: {{id: id}}}}
training: {{estimator: hist_gradient_boosting}}
"""


@pytest.fixture
def reading(loop: Loop, tmp_path: Path, postgres_server: PostgresServer) -> Callable[..., Loop]:
    """A project of its own in the Airflow of the loop, with one table in the session's PostgreSQL."""

    def make(name: str, connection: str, **env: str) -> Loop:
        postgres_server.run(
            f"CREATE SCHEMA {name}",
            f"CREATE TABLE {name}.jobs AS"
            f" SELECT n::bigint AS id, timestamp '{day(0):%Y-%m-%d}' AS due FROM generate_series(1, {ROWS}) n",
        )
        root = tmp_path / name
        root.mkdir()
        (root / "params.yaml").write_text(PARAMS.format(name=name, connection=connection))
        places = {"EVERGREEN_PROJECTS": str(root), "EVERGREEN_HOME": str(root / ".evergreen")}
        return dataclasses.replace(loop, root=root, env={**loop.env, **places, **env}, name=name)

    return make


def ingested(reading: Loop) -> tuple[dict[str, Any], str]:
    """The run, and all that it wrote: to its output, logs, XComs and the lake."""
    conf = json.dumps({"as_of": format_time(day(2))})
    done = reading.run(sys.executable, "-m", "tests.pipeline.run_dag", f"{reading.name}_ingest", conf, cwd=ROOT)
    run: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    files = [*reading.root.glob(".evergreen/lake/**/*.json"), *Path(reading.env["AIRFLOW_HOME"]).glob("logs/**/*.log")]
    return run, done.stdout + done.stderr + "".join(file.read_text() for file in files)


def events(reading: Loop) -> list[dict[str, Any]]:
    """What the asset events of the project's clean rows say."""
    with sqlite3.connect(Path(reading.env["AIRFLOW_HOME"]) / "airflow.db") as database:
        found = database.execute(
            "SELECT event.extra FROM asset_event event JOIN asset ON asset.id = event.asset_id WHERE asset.uri = ?",
            (f"evergreen://{reading.name}/clean",),
        ).fetchall()
    database.close()
    return [json.loads(extra) for (extra,) in found]


def assert_ingested(reading: Loop, secret: str) -> None:
    run, said = ingested(reading)
    assert run["state"] == "success", said[-4000:]
    result = run["xcoms"]["table.ingest[0]"]["return_value"]
    assert (result["rows"], result["seq"]) == (ROWS, 1)
    (event,) = events(reading)
    told = event["ingested"]["jobs"]
    assert told == {key: result[key] for key in ("rows", "bytes", "read_bytes", "position", "lag")}
    assert told["rows"] == ROWS
    assert told["position"]
    assert secret not in said + json.dumps([run, event])


def test_a_connection_that_only_airflow_knows(reading: Callable[..., Loop], postgres_server: PostgresServer) -> None:
    loop = reading("known", "warehouse")
    refused, said = ingested(loop)
    assert refused["state"] == "failed"
    assert "the connection `warehouse` is not known here: add it in Airflow" in said
    loop.run(sys.executable, "-m", "airflow", "connections", "add", "warehouse", "--conn-uri", postgres_server.uri)
    assert_ingested(loop, postgres_server.password)


def test_a_connection_that_up_wrote_into_the_home(
    reading: Callable[..., Loop], tmp_path: Path, postgres_server: PostgresServer
) -> None:
    file = tmp_path / "kept" / "connections.json"
    loop = reading(
        "kept", "evergreen_postgres",
        AIRFLOW__SECRETS__BACKEND="airflow.secrets.local_filesystem.LocalFilesystemBackend",
        AIRFLOW__SECRETS__BACKEND_KWARGS=json.dumps({"connections_file_path": str(file)}),
    )  # fmt: skip
    keep_connections(Home(file.parent), {"evergreen_postgres": postgres_server.uri})
    assert_ingested(loop, postgres_server.password)
