"""docs/sources.md as a reader would take it: each of its examples reads real rows from a real server."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
import yaml

from evergreen.project import Project
from evergreen.sources import commands
from evergreen.sources.catalog import SOURCES
from evergreen.stages.ingest import ingest
from tests.brokers import KafkaServer
from tests.buckets import Bucket
from tests.conftest import ROOT
from tests.servers import PostgresServer
from tests.web import Asked, Reply, Site, as_html, as_json

PAGE = (ROOT / "docs" / "sources.md").read_text()
TABLES: dict[str, Any] = {
    name: table
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for name, table in yaml.safe_load(block)["tables"].items()
}
REST = """
prediction: {rows: %s, at: 'timestamp ''2013-01-01''', label: {value: 'true', known_at: 'timestamp ''2013-01-01'''}}
features: {row: {one: '1'}}
training: {estimator: hist_gradient_boosting}
"""
NOW = datetime(2013, 4, 1, tzinfo=UTC)


@pytest.fixture
def example(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, int]]:
    """One table of the page as a project: what `evergreen sources check` says, and how many rows an ingest takes."""

    def run(name: str, put: Callable[[Project], object] = str, **options: Any) -> tuple[str, int]:
        table = TABLES[name] | {"source": TABLES[name]["source"] | options}
        project = make_project(f"name: page\ntables: {json.dumps({name: table})}\n{REST % name}")
        put(project)
        monkeypatch.setenv("EVERGREEN_PROJECT", str(project.root))
        commands.check([name], rows=100, as_json=False)
        return capsys.readouterr().out, ingest(project, name, NOW).rows

    return run


Example = Callable[..., tuple[str, int]]


def test_every_kind_is_on_the_page() -> None:
    assert {table["source"]["kind"] for table in TABLES.values()} | {"parquet"} == set(SOURCES)
    assert [kind for kind in SOURCES if f"`{kind}`" not in PAGE] == []


def test_csv(example: Example) -> None:
    def put(project: Project) -> None:
        folder = project.root / "drops" / "2013"
        folder.mkdir(parents=True)
        text = "id;sold;amount\n{};31.01.2013;n/a\n"
        (folder / "orders-1.csv").write_text(text.format(1))
        (folder / "orders-2.csv.gz").write_bytes(gzip.compress(text.format(2).encode()))
        (folder / "orders-3.csv.zst").write_bytes(pa.Codec("zstd").compress(text.format(3).encode(), asbytes=True))

    said, rows = example("orders", put)
    assert rows == 3
    assert "sold" in said


def test_postgres(example: Example, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", postgres_server.uri)
    postgres_server.run(
        "DROP SCHEMA IF EXISTS shop CASCADE",
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.invoices AS"
        " SELECT n AS id, timestamptz '2013-01-31 12:00Z' + n * interval '1 day' AS changed, n / 2.0 AS amount,"
        " 'paid' AS state FROM generate_series(1, 3) n",
    )
    said, rows = example("invoices")
    assert rows == 3
    assert "`state`" in said  # which is not declared
    assert "no zone" not in said


def test_kafka(example: Example, kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", kafka.uri)
    kafka.make_topic("payments")
    kafka.put("payments", [{"id": number, "amount": 1.5} for number in range(3)])
    assert example("payments")[1] == 3


def test_gcs(example: Example, gcs_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"endpoint": gcs_url, "is_anonymous": True}
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps({"conn_type": "google_cloud_platform", "extra": extra}))
    Bucket(gcs_url, "example-drops").put("shops/1.csv", b"shop,opened\na,2013-01-01\nb,2013-01-02\n")
    assert example("shops")[1] == 2


def test_http_json(example: Example, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(asked: Asked) -> Reply:
        assert (asked.headers["authorization"], asked.query["since"][:10]) == ("Bearer TOKEN", "2013-01-01")
        found = [{"id": n, "at": "2013-01-02T00:00:00Z", "rating": {"stars": 5}} for n in range(700)]
        start = (int(asked.query["page"]) - 1) * int(asked.query["limit"])
        return as_json({"total": 700, "data": found[start : start + int(asked.query["limit"])]})

    site.routes["/v1/ratings"] = answer
    tree = {"conn_type": "http", "host": site.url, "password": "TOKEN"}
    monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(tree))
    assert example("ratings")[1] == 700


def test_html_table(example: Example, site: Site) -> None:
    rows = '<tr><td>AA<td><a href="/aa">American</a><tr><td>UA<td><a href="/ua">United</a>'
    site.routes["/airlines"] = lambda asked: as_html(
        f"<table><caption>Airlines</caption><tr><th>IATA<th>Airline</tr>{rows}</table>"
    )
    said, rows = example("airlines", url=f"{site.url}/airlines")
    assert rows == 2
    assert "127.0.0.1" in said.partition("page ")[2]  # the links
