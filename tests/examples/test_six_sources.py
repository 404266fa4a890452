"""The flights from six systems and the flights from CSV drops: the sources are only how rows arrive."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
import yaml

from evergreen.lake.manifests import read_manifests
from evergreen.lake.raw import raw_folder
from evergreen.ledger import Ledger, Promotion
from evergreen.paths import file_sha256
from evergreen.project import Project
from evergreen.stages.gate import gate
from evergreen.stages.ingest import ingest
from evergreen.stages.validate import validate
from feed import drops_folder, feed, with_drops
from shipped import local_midnight, shipped_counts
from tests.brokers import KafkaServer
from tests.conftest import ROOT
from tests.servers import PostgresServer
from tests.stages.candidates import Candidates
from web import make_server
from world import TOPICS, move_on, published_file, sent

WEEKS = [local_midnight(day) for day in (date(2013, 2, 25), date(2013, 3, 4))]
# Fewer trees: what is compared is what they are grown from.
PARAMS = (ROOT / "params.yaml").read_text().replace("early_stopping: false", "early_stopping: false, max_iter: 20")


class World:
    """A project in a world of its own: moved on week by week, built and judged."""

    def __init__(self, project: Project) -> None:
        self.candidates = Candidates(project)

    @property
    def project(self) -> Project:
        return self.candidates.project

    def ingest(self, as_of: object) -> None:
        for table in self.project.params.tables:
            ingest(self.project, table, as_of)
            validate(self.project, table)

    def build(self, as_of: object) -> tuple[str, str, tuple[str, str, str | None]]:
        """The snapshot's id, the hash of the features, and the decision: verdict, reason, the rows it was made on."""
        build = self.candidates.make_from_lake(as_of)
        here = self.candidates.here(build)
        result = gate(self.project, build, as_of, "test")
        ledger = Ledger.open(self.project.home)
        if result.verdict == "promote":
            bundle = self.candidates.bundle(build)
            ledger.record_promotion(
                Promotion(
                    name="flights", build=build, version=None, bundle=bundle.sha256, cutoff=bundle.training.cutoff,
                    as_of=as_of, decision=result.decision, previous_build=result.champion,
                )
            )  # fmt: skip
        snapshot = json.loads(here.snapshot.read_text())["id"]
        decision = ledger.decision(result.decision)
        reason = decision.reason.replace(result.champion or build, "the champion")  # named by its commit
        return snapshot, file_sha256(here.build / "features.parquet"), (result.verdict, reason, decision.evidence)

    def rows(self, table: str) -> int:
        return sum(file.rows for one in read_manifests(raw_folder(self.project.lake, table)) for file in one.files)


@pytest.fixture
def six(
    make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    postgres_server: PostgresServer, kafka: KafkaServer, gcs_url: str,
) -> Iterator[World]:  # fmt: skip
    """The project as it is shipped, with real servers of all six kinds."""
    project = make_project(PARAMS, tmp_path / "six")
    server = make_server(0, published_file(project))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    storage = {"conn_type": "google_cloud_platform", "extra": {"endpoint": gcs_url, "is_anonymous": True}}
    found = {
        "postgres": postgres_server.uri, "kafka": kafka.uri, "gcs": json.dumps(storage),
        "web": f"http://127.0.0.1:{server.server_address[1]}",
    }  # fmt: skip
    for name, uri in found.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_EVERGREEN_{name.upper()}", uri)
    yield World(project)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def drops(make_project: Callable[..., Project], tmp_path: Path) -> World:
    """The same project, which reads all tables from CSV drops."""
    tree = yaml.safe_load(PARAMS)
    named = with_drops(make_project(PARAMS, tmp_path / "named")).params.tables
    for name, table in tree["tables"].items():
        table["source"] = dict(named[name].source)
    del tree["services"]
    return World(make_project(yaml.safe_dump(tree, sort_keys=False), tmp_path / "drops"))


def test_snapshot_features_and_decisions_are_those_of_the_csv_drops(
    six: World, drops: World, kafka: KafkaServer, postgres_server: PostgresServer
) -> None:
    for as_of in WEEKS:
        move_on(six.project, as_of)
        feed(drops_folder(drops.project), as_of)
        for world in (six, drops):
            world.ingest(as_of)
        assert six.build(as_of) == drops.build(as_of)
    assert [one.verdict for one in Ledger.open(six.project.home).decisions("flights")][-1] == "promote", "the first"

    # The world did what it says, and each message, row and record came in once.
    until = WEEKS[-1]
    shipped = shipped_counts(until)
    for table, topic in TOPICS.items():
        messages = [json.loads(value or b"") for _, _, _, value in kafka.read(topic)]
        times = Counter(message["flight_id"] for message in messages)
        assert len(times) == shipped[table]
        assert set(times.values()) == {1, 2}, "some messages are sent twice"
        moments = [message["sched_dep"] for message in messages]
        assert moments != sorted(moments), "some messages are overtaken by later ones"
        assert six.rows(table) == len(messages) == sent(table, until)
    assert six.rows("flights") > shipped["flights"], "rows that were updated later come again"
    assert postgres_server.value("SELECT count(DISTINCT status) FROM ops.flights") == 3
    for table in ("weather", "airports", "planes", "airlines"):
        assert six.rows(table) == shipped[table] == drops.rows(table)

    move_on(six.project, until)
    before = {table: six.rows(table) for table in shipped}
    six.ingest(until)
    assert {table: six.rows(table) for table in shipped} == before, "moving on to where the world is adds nothing"
