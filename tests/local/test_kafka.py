"""The broker of the local stack: its jars are those of the list, and it keeps what it was given."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import ConfigEntry, ConfigResource

from evergreen.errors import ServerError
from evergreen.local import kafka_jars
from evergreen.local.servers import asked_servers
from evergreen.project import Project
from tests.brokers import KafkaServer
from tests.conftest import SMALL
from tests.servers import kafka_server


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    """A copy of the environment's jars."""
    return shutil.copytree(kafka_jars.folder(), tmp_path / "jars")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that holds every jar of the list, where Maven's layout wants it."""
    folder = tmp_path / "cache"
    for coordinates in kafka_jars.listed():
        group, artifact, version = coordinates.split(":")
        place = folder / group.replace(".", "/") / artifact / version
        place.mkdir(parents=True)
        shutil.copy(kafka_jars.folder() / f"{artifact}-{version}.jar", place)
    return folder


def test_the_list_is_pinned_and_sorted() -> None:
    lines = kafka_jars.LIST.read_text().splitlines()[1:]
    assert lines == sorted(lines)
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in kafka_jars.listed().values())
    assert all(any(name.startswith(f"{one}:") for name in kafka_jars.listed()) for one in kafka_jars.ENDPOINTS)


def test_a_jar_that_was_altered_or_is_missing_is_named(jars: Path) -> None:
    kafka_jars.require(jars)
    with (jars / "kafka_2.13-4.4.0.jar").open("ab") as file:
        file.write(b"!")
    with pytest.raises(ServerError, match=r"1 of the Kafka broker's jars .*kafka_2.13-4.4.0.jar: `make setup`"):
        kafka_jars.require(jars)
    (jars / "snakeyaml-2.5.jar").unlink()
    with pytest.raises(ServerError, match="2 of the Kafka broker's jars"):
        kafka_jars.require(jars)


def test_what_is_missing_is_copied_from_the_cache_without_a_network(
    jars: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_jars, "_download", lambda cache: pytest.fail("asked the network"))
    assert kafka_jars.bring(jars, cache) == 0
    (jars / "snakeyaml-2.5.jar").write_bytes(b"another")
    (jars / "re2j-1.8.jar").unlink()
    assert kafka_jars.bring(jars, cache) == 2
    kafka_jars.require(jars)


def test_a_download_with_another_hash_is_not_used(jars: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_jars, "_download", lambda cache: None)
    next(cache.rglob("snakeyaml-2.5.jar")).write_bytes(b"another")
    (jars / "snakeyaml-2.5.jar").unlink()
    with pytest.raises(ServerError, match=r"snakeyaml-2.5.jar is missing or has another SHA-256"):
        kafka_jars.bring(jars, cache)
    assert not (jars / "snakeyaml-2.5.jar").exists()


def test_a_project_asks_for_it_by_its_connection(make_project: Callable[..., Project], tmp_path: Path) -> None:
    for number, (connection, asked) in enumerate((("evergreen_kafka", ["kafka"]), ("stream", []))):
        source = f"{{kind: kafka, connection: {connection}, topic: jobs}}"
        text = SMALL.replace("{kind: csv, path: drops/jobs-*.csv}", source)
        project = make_project(text, tmp_path / str(number))
        assert [server.name for server in asked_servers(project)] == asked


def test_it_listens_on_loopback_alone_and_keeps_its_messages_through_a_kill(tmp_path: Path) -> None:
    with kafka_server(tmp_path / "kafka") as server:
        topic = server.make_topic()
        server.put(topic, [{"id": number} for number in range(20)])
        assert addresses(server) == {"127.0.0.1"}
        assert settings(server)["offsets.retention.minutes"].value == str(2**31 - 1)  # the world's progress is kept
        server.kill()
        server.start()
        assert len(server.read(topic)) == 20


def settings(server: KafkaServer) -> dict[str, ConfigEntry]:
    (asked,) = server.admin.describe_configs([ConfigResource(ConfigResource.Type.BROKER, "1")]).values()
    return asked.result()


def addresses(server: KafkaServer) -> set[str]:
    import psutil

    found = psutil.Process(server.pid).net_connections("tcp")
    return {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}
