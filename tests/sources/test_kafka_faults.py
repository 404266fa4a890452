"""The ingest is killed at each named point, the broker in the middle of a read, while a producer goes on."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evergreen.errors import SourceError
from evergreen.project import Project
from evergreen.sources import kafka as source
from tests.brokers import KafkaServer
from tests.servers import free_port, kafka_server
from tests.sources.kafka_worlds import World, job
from tests.tls import make_certificate


def make_world(broker: KafkaServer, make: Callable[..., Project], root: Path, patch: pytest.MonkeyPatch) -> World:
    patch.setenv("AIRFLOW_CONN_STREAM", broker.uri)
    world = World(broker, make, root, partitions=3, timeout="60 seconds")
    for partition in range(3):
        world.put(range(partition * 1000, partition * 1000 + 40), partition)
        broker.put(world.topic, [b"bad", None], partition)
        world.put(range(partition * 1000 + 40, partition * 1000 + 50), partition, transaction="first", abort=True)
    return world


RUN = """
import sys
from datetime import UTC, datetime
from evergreen.project import Project
from evergreen.stages.ingest import ingest
ingest(Project.load(sys.argv[1]), "jobs", datetime(2013, 4, 1, 4, tzinfo=UTC))
"""
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=6m tmpfs "$LAKE" || exit 99
"$@"
echo "ended with $?" >&2
mount -o remount,size=256m "$LAKE"
"$@" && cp -r "$LAKE"/. "$OUT"
"""


@pytest.mark.parametrize("good", [0, 20_000])
def test_a_disk_that_is_full_of_messages_set_aside(
    kafka: KafkaServer, make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", kafka.uri)
    world = World(kafka, make_project, tmp_path / "project", timeout="60 seconds")
    dice = random.Random(3)
    world.put(range(good))
    kafka.put(world.topic, [dice.randbytes(100_000) for _ in range(100)])
    lake, out = world.project.lake, tmp_path / "out"
    lake.mkdir(parents=True)
    out.mkdir()
    wrapped = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    run = subprocess.run(
        [*wrapped, "sh", "-c", ON_A_SMALL_DISK, "sh", sys.executable, "-c", RUN, str(world.project.root)],
        env=os.environ | {"LAKE": str(lake), "OUT": str(out)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if run.returncode == 99 or "unshare" in run.stderr:
        pytest.skip("neither root nor a user namespace may mount a small disk here")
    first, _, second = run.stderr.partition("ended with 1\n")
    assert "DiskFull: no space left on the device" in first
    assert run.returncode == 0, second
    shutil.copytree(out, lake, dirs_exist_ok=True)
    world.require_all()
    assert len(world.rejects()) == 100


PASSWORD, PORT = "marker-5e7d", free_port()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[KafkaServer]:
    with kafka_server(tmp_path / "broker", (PORT, PASSWORD)) as server:
        yield server


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_tls_and_sasl_are_those_of_the_connection(
    own_broker: KafkaServer, make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], mechanism: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    own_broker.let_in_by_scram("reader", PASSWORD)
    world = make_world(own_broker, make_project, tmp_path / "project", monkeypatch)
    ca, other = own_broker.folder / "ca.pem", tmp_path / "other"
    other.mkdir()
    extra = {
        "bootstrap.servers": f"127.0.0.1:{PORT}", "security.protocol": "SASL_SSL", "sasl.mechanism": mechanism,
        "ssl.ca.location": str(ca),
    }  # fmt: skip
    connection = {"conn_type": "kafka", "login": "reader", "password": PASSWORD}
    world.with_options(group="shows-lag")
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", json.dumps({**connection, "extra": extra}))
    result = world.ingest()
    world.require_all()
    for wrong, password, said in (
        ({"ssl.ca.location": str(make_certificate(other)[0])}, PASSWORD, "certificate verify failed"),
        ({"security.protocol": "SASL_PLAINTEXT"}, PASSWORD, "brokers are down.*`security.protocol` that of its port"),
        ({}, f"{PASSWORD}-wrong", "[Aa]uthentication failed"),
    ):
        # The broker holds its refusal back, and what runs beside the tests holds back the broker.
        world.with_options(timeout="5 seconds" if password == PASSWORD else "20 seconds", group="shows-lag")
        tree = {**connection, "password": password, "extra": extra | wrong}
        monkeypatch.setenv("AIRFLOW_CONN_STREAM", json.dumps(tree))
        with pytest.raises(SourceError, match=said) as error:
            world.ingest()
        assert PASSWORD not in str(error.value)
    kept = b"".join(path.read_bytes() for path in world.project.home.root.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in kept
    assert PASSWORD not in caplog.text + "".join(capfd.readouterr()) + result.model_dump_json()


def test_a_broker_that_dies_in_the_middle_of_a_read_and_comes_back(
    own_broker: KafkaServer, make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    world = make_world(own_broker, make_project, tmp_path / "project", monkeypatch)
    own_broker.put(world.topic, ({**job(number), "more": "x" * 1000} for number in range(5000, 45_000)), 1)
    restarts: list[threading.Thread] = []

    def kill(name: str) -> None:
        if name == "kafka.batch" and not restarts and len(passed) > 1:
            own_broker.kill()
            restarts.append(threading.Thread(target=own_broker.start))
            restarts[0].start()
        passed.append(name)

    passed: list[str] = []
    monkeypatch.setattr(source.faults, "point", kill)
    result = world.ingest()
    restarts[0].join()
    assert result.rows == 3 * 40 + 40_000
    world.require_all()

    monkeypatch.setenv("AIRFLOW_CONN_STREAM", own_broker.uri)
    own_broker.kill()
    world.with_options(timeout="2 seconds")
    with pytest.raises(SourceError, match=own_broker.address):
        world.ingest()
