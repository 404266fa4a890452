"""What every source of the catalog must do. A new source needs a harness here, and the suite runs on it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import ParamsError, SourceError
from evergreen.project import Project
from evergreen.sources import commands
from evergreen.sources.base import Receipt, Request, Source
from evergreen.sources.catalog import SOURCES, open_source
from evergreen.stages.ingest import DeliveriesRefused, ingest
from tests.brokers import KafkaServer
from tests.contracts.harnesses_web import GcsHarness, HtmlHarness, JsonHarness, make_rows
from tests.servers import PostgresServer
from tests.sources.reading import raw_ids

AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)
SCHEMA = pa.schema([("id", pa.int64()), ("due", pa.timestamp("us")), ("team", pa.string()), ("size", pa.float64())])


class Harness(Protocol):
    """A real source under the test's control."""

    def __init__(self, root: Path) -> None: ...

    @property
    def options(self) -> dict[str, Any]:
        """What `source` in params.yaml would say, with `kind`."""
        ...

    def put(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Make a delivery of these rows appear in the source."""
        ...

    def offer_again(self, name: str) -> None:
        """Make the source show the delivery `name` once more, as the world does: a copy, a redelivery."""
        ...

    def put_broken(self, name: str) -> None:
        """Make a delivery appear that turns out to be bad only at its end."""
        ...


class CsvHarness:
    """Files in a folder."""

    options = {"kind": "csv", "path": "drops/*.csv"}

    def __init__(self, root: Path) -> None:
        self.folder = root / "drops"
        self.folder.mkdir()

    def put(self, name: str, rows: list[dict[str, Any]]) -> None:
        lines = [f"{row['id']},{row['due'].isoformat()}Z,{row['team']},{row['size']}\n" for row in rows]
        (self.folder / f"{name}.csv").write_text("id,due,team,size\n" + "".join(lines))

    def offer_again(self, name: str) -> None:
        (self.folder / f"{name}-copy.csv").write_bytes((self.folder / f"{name}.csv").read_bytes())

    def put_broken(self, name: str) -> None:
        self.put(name, make_rows(50_000, 200_000))
        with (self.folder / f"{name}.csv").open("a") as stream:
            stream.write("9,2013-01-0")
        os.utime(self.folder / f"{name}.csv", (0, 0))  # nobody writes it any more


class ParquetHarness:
    """Files in a folder, of the types that pandas and Spark make."""

    options = {"kind": "parquet", "path": "drops/*.parquet"}

    def __init__(self, root: Path) -> None:
        self.folder = root / "drops"
        self.folder.mkdir()

    def put(self, name: str, rows: list[dict[str, Any]], **last: Any) -> None:
        table = pa.Table.from_pylist([*rows, *([rows[-1] | last] if last else [])])
        table = table.set_column(2, "team", table["team"].dictionary_encode())
        pq.write_table(table, self.folder / f"{name}.parquet", row_group_size=150_000)

    def offer_again(self, name: str) -> None:
        (self.folder / f"{name}-copy.parquet").write_bytes((self.folder / f"{name}.parquet").read_bytes())

    def put_broken(self, name: str) -> None:
        self.put(name, make_rows(50_000, 200_000), id=0.5)


class KafkaHarness:
    """A topic of one partition; an aborted transaction fills a delivery, so that what follows is another one."""

    options = {"kind": "kafka", "connection": "stream", "topic": "contract-jobs"}
    server: KafkaServer  # set by the fixture `harness`
    delivery = 250_000  # offsets; set as well

    def __init__(self, root: Path) -> None:
        self.topic = str(self.options["topic"])
        if self.server.has_topic(self.topic):
            self.server.delete_topic(self.topic)
        self.server.make_topic(self.topic)

    def put(self, name: str, rows: list[dict[str, Any]]) -> None:
        self.server.put(self.topic, [{**row, "due": f"{row['due'].isoformat()}Z"} for row in rows])

    def offer_again(self, name: str) -> None:
        self.server.rewind(self.topic, "evergreen")

    def put_broken(self, name: str) -> None:
        self.server.put(self.topic, [b"x"] * self.delivery, transaction="filler", abort=True)
        self.put(name, make_rows(50_000, 20_000))
        self.server.damage_last_message(self.topic)


class PostgresHarness:
    """A partitioned table, whose partitions are the deliveries: so each of them is read by itself."""

    options = {"kind": "postgres", "connection": "warehouse", "table": "contract.jobs"}
    server: PostgresServer  # set by the fixture `harness`

    def __init__(self, root: Path) -> None:
        self.server.run(
            "DROP SCHEMA IF EXISTS contract CASCADE",
            "CREATE SCHEMA contract",
            "CREATE TABLE contract.jobs (id bigint, due timestamp, team text, size float8, part text)"
            " PARTITION BY LIST (part)",
        )

    def put(self, name: str, rows: list[dict[str, Any]]) -> None:
        self._partition(name)
        table = pa.Table.from_pylist(
            [{**row, "part": name} for row in rows], SCHEMA.append(pa.field("part", pa.string()))
        )
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest(f"jobs_{name}", table, mode="append", db_schema_name="contract")

    def offer_again(self, name: str) -> None:
        self.server.run(f"VACUUM (FULL, FREEZE) contract.jobs_{name}")  # the same rows in another file

    def put_broken(self, name: str) -> None:
        self._partition(name)
        self.server.run(
            "INSERT INTO contract.jobs SELECT n, now(), 'red', n, 'b' FROM generate_series(50000, 250000) n",
            f"INSERT INTO contract.jobs VALUES (9, 'infinity', 'red', 1, '{name}')",
        )

    def _partition(self, name: str) -> None:
        self.server.run(
            f"CREATE TABLE IF NOT EXISTS contract.jobs_{name} PARTITION OF contract.jobs FOR VALUES IN ('{name}')"
        )


HARNESSES: dict[str, type[Harness]] = {
    "csv": CsvHarness,
    "parquet": ParquetHarness,
    "postgres": PostgresHarness,
    "kafka": KafkaHarness,
    "gcs": GcsHarness,
    "http_json": JsonHarness,
    "html_table": HtmlHarness,
}


def test_every_source_has_a_harness() -> None:
    assert set(HARNESSES) == set(SOURCES), "add a Harness for the new source, so that this suite runs on it"


@pytest.fixture(params=SOURCES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(kind: str, make_project: Callable[..., Project], tmp_path: Path) -> Project:
    text = f"""
name: small
tables:
  jobs:
    source: {json.dumps(HARNESSES[kind].options)}
    key: [id]
    known_at: due
    columns: {{id: {{type: int64}}, due: {{type: timestamp}}, team: {{type: category}}, size: {{type: float64}}}}
prediction: {{rows: jobs, at: due, label: {{value: size > 10, known_at: due}}}}
features: {{row: {{size: size}}}}
training: {{estimator: hist_gradient_boosting}}
"""
    return make_project(text)


@pytest.fixture
def harness(
    kind: str, project: Project, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Harness]:
    if kind == "postgres":
        PostgresHarness.server = request.getfixturevalue("postgres_server")
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", PostgresHarness.server.uri)
    if kind == "kafka":
        KafkaHarness.server = request.getfixturevalue("kafka")
        monkeypatch.setenv("AIRFLOW_CONN_STREAM", KafkaHarness.server.uri)
        monkeypatch.setattr("evergreen.sources.kafka.OFFSETS", KafkaHarness.delivery)
    made = HARNESSES[kind](project.root)
    yield made
    getattr(made, "close", lambda: None)()  # of those that started a server


def source_of(project: Project) -> Source:
    return open_source("jobs", project.params.tables["jobs"].source)


def read(project: Project, request: Request) -> list[tuple[list[dict[str, Any]], Receipt]]:
    read = []
    for delivery in source_of(project).deliveries(request):
        batches = list(delivery.batches())
        assert all(batch.schema == SCHEMA for batch in batches)
        read.append((pa.Table.from_batches(batches, SCHEMA).to_pylist(), delivery.receipt()))
    return read


def request_for(project: Project, **read: Any) -> Request:
    return Request(root=project.root, table="jobs", schema=SCHEMA, as_of=AS_OF, **read)


def test_delivers_every_row_typed_and_in_a_stable_order(project: Project, harness: Harness) -> None:
    harness.put("b", make_rows(10, 5))
    harness.put("a", make_rows(0, 10))
    first, again = (read(project, request_for(project)) for _ in range(2))
    assert first == again
    assert sorted((row for rows, _ in first for row in rows), key=lambda row: row["id"]) == make_rows(0, 15)


def test_a_receipt_names_the_delivery_and_its_position_is_json(project: Project, harness: Harness) -> None:
    harness.put("a", make_rows(0, 10))
    harness.put("b", make_rows(10, 10))
    receipts = [receipt for _, receipt in read(project, request_for(project))]
    for receipt in receipts:
        assert len(bytes.fromhex(receipt.sha256)) == 32
        assert receipt.bytes > 0
        assert json.loads(json.dumps(receipt.position)) == receipt.position
    assert len({receipt.sha256 for receipt in receipts}) == len(receipts)


def test_a_long_delivery_comes_in_bounded_batches(project: Project, harness: Harness) -> None:
    harness.put("long", make_rows(0, getattr(harness, "long", 400_000)))
    sizes = [
        batch.nbytes for delivery in source_of(project).deliveries(request_for(project)) for batch in delivery.batches()
    ]
    assert len(sizes) > 1
    assert max(sizes) < 16 << 20


def test_an_empty_source_delivers_no_rows_and_makes_no_file(project: Project, harness: Harness) -> None:
    assert [rows for rows, _ in read(project, request_for(project)) if rows] == []
    assert ingest(project, "jobs", AS_OF).files == 0


def test_ingesting_twice_takes_each_row_once(project: Project, harness: Harness) -> None:
    harness.put("a", make_rows(0, 10))
    assert ingest(project, "jobs", AS_OF).rows == 10
    assert ingest(project, "jobs", AS_OF).rows == 0
    harness.put("b", make_rows(10, 3))
    assert ingest(project, "jobs", AS_OF).rows == 3
    assert sorted(raw_ids(project)) == list(range(13))


def test_a_delivery_offered_again_adds_nothing(project: Project, harness: Harness) -> None:
    harness.put("a", make_rows(0, 10))
    harness.offer_again("a")
    assert ingest(project, "jobs", AS_OF).rows == 10
    harness.offer_again("a")
    assert ingest(project, "jobs", AS_OF).rows == 0
    assert sorted(raw_ids(project)) == list(range(10))


def test_nothing_of_a_broken_delivery_is_taken(project: Project, harness: Harness) -> None:
    harness.put("a", make_rows(0, 10))
    harness.put_broken("b")
    harness.put("c", make_rows(10, 10))
    with pytest.raises(SourceError, match="b"):
        ingest(project, "jobs", AS_OF)
    wanted = 10 if source_of(project).ordered else 20
    assert sorted(raw_ids(project)) == list(range(wanted))
    with pytest.raises(DeliveriesRefused) as second:
        ingest(project, "jobs", AS_OF)
    assert (second.value.result.rows, len(second.value.result.refused)) == (0, 1)


def test_options_are_frozen_described_and_checked_with_the_table_named(kind: str) -> None:
    model = SOURCES[kind]
    assert model.model_config.get("frozen")
    assert all(field.description for field in model.model_fields.values())
    with pytest.raises(ParamsError, match=r"tables\.jobs\.source\.no_such_option` is not an option.*Known: "):
        open_source("jobs", {**HARNESSES[kind].options, "no_such_option": 1})


def test_a_sample_shows_the_first_rows_whatever_was_taken(project: Project, harness: Harness) -> None:
    assert open_source("jobs", harness.options).sample(request_for(project), 10) is None
    harness.put("a", make_rows(0, 40))
    ingest(project, "jobs", AS_OF)
    harness.put("b", make_rows(40, 40))
    sample = open_source("jobs", harness.options).sample(request_for(project), 60)
    assert sample["id"].to_pylist() == list(range(60))
    assert pa.types.is_integer(sample.schema.field("id").type)
    assert pa.types.is_timestamp(sample.schema.field("due").type)
    assert pa.types.is_floating(sample.schema.field("size").type)


def test_sources_check_and_sample_show_it(
    project: Project, harness: Harness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVERGREEN_PROJECT", str(project.root))
    harness.put("a", make_rows(0, 40))
    commands.check(["jobs"], rows=20, as_json=False)
    said = capsys.readouterr().out
    assert "jobs  20 rows" in said
    assert ("have no zone" in said) == (project.params.tables["jobs"].source["kind"] in ("parquet", "postgres"))
    commands.sample(["jobs"], rows=3, as_json=True, as_csv=False)
    assert [int(row["id"]) for row in json.loads(capsys.readouterr().out)["jobs"]] == [0, 1, 2]
