"""The Kafka source against a real broker: what is read, what is set aside, what is an error."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions

from evergreen.errors import ParamsError, SourceError
from evergreen.project import Project
from evergreen.sources import kafka as source
from evergreen.sources import kafka_client
from evergreen.stages.ingest import DeliveriesRefused
from evergreen.stages.validate import FilesRefused, validate
from evergreen.status import read_status, render_status
from tests.brokers import KafkaServer
from tests.sources.kafka_worlds import World, job

MakeWorld = Callable[..., World]
SECRET = "marker-5e7d"


@pytest.fixture
def make_world(
    kafka: KafkaServer, make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeWorld:
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", kafka.uri)
    return lambda **options: World(kafka, make_project, tmp_path / "project", **options)


def test_rows_carry_what_kafka_says_of_them(make_world: MakeWorld) -> None:
    world = make_world(partitions=2)
    began = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    world.put(range(3), partition=1, key=lambda value: f"k{value['id']}")
    world.put([3], partition=0)
    result = world.ingest()
    assert (result.rows, result.files, result.rejects) == (4, 1, 0)
    first, *others = world.rows()
    assert (first["id"], first["part"], first["offset"], first["key"]) == (3, 0, 0, None)
    assert [(row["id"], row["part"], row["offset"], row["key"]) for row in others] == [
        (number, 1, number, f"k{number}") for number in range(3)
    ]
    assert all(began <= row["sent"] <= datetime.now(UTC).replace(tzinfo=None) for row in others)
    assert world.files[0].origin == f"{world.topic}[0]@0-1,[1]@0-3"
    (position,) = result.position.values()
    assert position["next"] == {"0": 1, "1": 3}


def test_the_end_is_the_one_seen_at_the_start(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world()
    world.put(range(100))

    def more(name: str) -> None:
        if name == "kafka.batch":
            world.put(range(100, 200))

    with monkeypatch.context() as patch:
        patch.setattr(source.faults, "point", more)
        result = world.ingest()
    assert (result.rows, result.lag) == (100, "100 offsets")
    result = world.ingest()
    assert (result.rows, result.lag) == (100, "0 offsets")
    assert world.ids() == list(range(200))


def test_many_small_pieces_are_one_commit_and_the_same_as_one(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(partitions=3)
    for partition in range(3):
        world.put(range(partition * 1000, partition * 1000 + 700), partition)
    monkeypatch.setattr(source, "OFFSETS", 90)
    result = world.ingest()
    assert (result.files, result.rows, result.seq) == (24, 2100, 1)
    world.require_all()


@pytest.mark.parametrize("size", [64, 10_000])
def test_what_was_aborted_never_appears_wherever_it_lies(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(source, "OFFSETS", size)
    world = make_world()
    world.put(range(50), transaction="a", abort=True)
    world.put(range(50, 100), transaction="a")
    world.put(range(100, 150), transaction="a", abort=True)
    assert world.ingest().rows == 50
    assert world.ingest().rows == 0
    world.put(range(150, 200), transaction="a", abort=True)
    assert world.ingest().rows == 0
    world.put(range(200, 203))
    assert world.ingest().rows == 3
    assert world.ids() == [*range(50, 100), 200, 201, 202]
    world.require_all()


def test_the_topic_may_end_in_the_middle_of_an_aborted_transaction_behind_a_piece(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(timeout="5 seconds")
    for first in range(0, 40, 8):
        world.put(range(first, first + 4), transaction="a")  # and a marker: fewer messages than offsets
        world.put(range(first + 4, first + 8))
    world.put(range(100, 102), transaction="a", abort=True)
    for size in (9, 15, 18, 45, 46, 47):
        monkeypatch.setattr(source, "OFFSETS", size)
        shutil.rmtree(world.project.lake, ignore_errors=True)
        assert world.ingest().rows == 40, f"in pieces of {size} offsets"


def test_a_long_stretch_of_aborted_messages_is_no_silence(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(timeout="5 seconds")
    world.put([1])
    producer = world.broker.producer(**{"transactional.id": "long", "batch.num.messages": 1})
    producer.init_transactions()
    producer.begin_transaction()
    for number in range(100):
        producer.produce(world.topic, json.dumps(job(number)), partition=0)
    producer.flush()
    producer.abort_transaction()
    world.put([2])
    # Few messages at a time, each answer 0.3 seconds late.
    slow = {"fetch.message.max.bytes": 10, "fetch.min.bytes": 90_000, "fetch.wait.max.ms": 300}
    extra = {"bootstrap.servers": world.broker.address, **slow}
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", json.dumps({"conn_type": "kafka", "extra": extra}))
    assert world.ingest().rows == 2


def test_an_open_transaction_is_waited_for_by_a_later_run(make_world: MakeWorld) -> None:
    world = make_world()
    world.put(range(10))
    producer = world.broker.producer(**{"transactional.id": "open"})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(world.topic, json.dumps(job(10)).encode(), partition=0)
    producer.flush()
    world.put(range(11, 20))  # behind it: nobody may see these yet
    assert world.ingest().rows == 10
    producer.commit_transaction()
    assert world.ingest().rows == 10
    assert world.ids() == list(range(20))


def test_bad_messages_are_set_aside_one_by_one(make_world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    world = make_world()
    world.put(range(3))
    world.broker.put(world.topic, [b"no json", None, b'{"id": "x"}', {"id": 3}], key=lambda value: b"\x00k")
    world.broker.put(world.topic, [{"id": 4}], key=lambda value: b"\xff")
    caplog.set_level(logging.INFO)
    result = world.ingest()
    assert (result.rows, result.rejects, world.ids()) == (4, 3, [0, 1, 2, 3])
    place = f"{world.topic}[0]@"
    found = {one.place: one for one in world.rejects()}
    assert list(found) == [f"{place}3", f"{place}5", f"{place}7"]
    assert found[f"{place}3"].content == b"no json"
    assert found[f"{place}3"].key == b"\x00k"
    assert found[f"{place}3"].time is not None
    assert found[f"{place}5"].reason == '`id` is "x" and should be a whole number of 64 bits'
    assert found[f"{place}7"].reason == "its key is not UTF-8"
    assert "tombstones passed over: 1;" in caplog.text
    assert f"3 records cannot be rows, kept in {world.files[0].rejects and world.files[0].rejects.path}" in caplog.text
    world.require_all()


@pytest.mark.parametrize("moment", [1_700_000_000_000_000, 1_700_000_000_000_000_000, 2**63 - 1])
def test_a_time_that_is_not_in_milliseconds_is_none(make_world: MakeWorld, moment: int) -> None:
    world = make_world(config={"message.timestamp.after.max.ms": str(2**63 - 1)})
    producer = world.broker.producer()
    for value in (json.dumps(job(1)), "no json"):
        producer.produce(world.topic, value.encode(), partition=0, timestamp=moment)
    producer.flush()
    world.put([2])
    assert (world.ingest().rows, [one.time for one in world.rejects()]) == (2, [None])
    assert [row["sent"] is None for row in world.rows()] == [True, False]


def test_a_delivery_of_bad_messages_alone_is_kept_too(make_world: MakeWorld) -> None:
    world = make_world()
    world.broker.put(world.topic, [b"bad"] * 2500)
    result = world.ingest()
    assert (result.rows, result.rejects, result.files) == (0, 2500, 1)
    assert (world.ingest().rejects, len(world.rejects())) == (0, 2500)
    world.require_all()


def test_bad_messages_count_in_validation_and_are_seen_in_status_and_report(make_world: MakeWorld) -> None:
    world = make_world()
    world.put(range(40))
    world.broker.put(world.topic, [b"<b>bad</b>"])
    world.ingest()
    result = validate(world.project, "jobs")
    assert (result.rows, result.admitted) == (40, 40)
    page = (world.project.home.root / str(result.report)).read_text()
    assert f"{world.topic}[0]@40" in page
    assert "&lt;b&gt;bad&lt;/b&gt;" in page
    assert "every record can be a row" in page
    aside = world.files[0].rejects
    assert aside is not None
    shown = render_status(read_status(world.project))
    assert f"records that could not be rows: 1 in {aside.path}" in shown

    world.broker.put(world.topic, [b"bad"] * 20)
    world.put(range(40, 50))
    world.ingest()
    with pytest.raises(FilesRefused, match=r"20 of 30 rows \(66.67%\) came there: rejected: every record can be a row"):
        validate(world.project, "jobs")


def test_tombstones_alone_move_the_position(make_world: MakeWorld) -> None:
    world = make_world()
    world.broker.put(world.topic, [None] * 5)
    result = world.ingest()
    assert (result.rows, result.files, result.position[world.topic]["next"]) == (0, 0, {"0": 5})
    assert len(world.manifests) == 1
    world.ingest()
    assert len(world.manifests) == 1


def test_a_new_partition_is_read_from_its_beginning(make_world: MakeWorld) -> None:
    world = make_world(start="latest")
    world.put(range(10))
    assert world.ingest().rows == 0
    world.put(range(10, 12))
    world.broker.add_partitions(world.topic, 3)
    world.put(range(12, 15), partition=2)
    assert world.ingest().rows == 5
    assert world.ids() == list(range(10, 15))


def test_the_end_of_an_empty_topic_is_a_position_too(make_world: MakeWorld) -> None:
    world = make_world(start="latest", partitions=2)
    world.ingest()
    world.put(range(5), partition=1)
    assert world.ingest().rows == 5
    assert len(world.manifests) == 2
    world.ingest()
    assert len(world.manifests) == 2


def test_a_topic_that_is_gone_or_was_never_there(make_world: MakeWorld) -> None:
    world = make_world()
    world.put(range(3))
    world.ingest()
    world.broker.delete_topic(world.topic)
    with pytest.raises(SourceError, match=f"the topic `{world.topic}` is not there"):
        world.ingest()


def test_a_topic_made_again_is_an_error_until_it_is_accepted(make_world: MakeWorld) -> None:
    world = make_world()
    world.put(range(10))
    old = world.ingest().position[world.topic]["id"]
    world.broker.delete_topic(world.topic)
    world.broker.make_topic(world.topic)
    world.put(range(20, 50))
    with pytest.raises(SourceError, match=f"made again: its id was {old} and is .*: offset\\) 0: 10") as error:
        world.ingest()
    new = str(error.value).partition("`accept_topic: ")[2].partition("`")[0]
    world.with_options(accept_topic=new)
    assert world.ingest().rows == 30
    assert world.ids() == [*range(10), *range(20, 50)]
    assert world.ingest().rows == 0


def test_a_topic_made_again_while_it_is_read_is_refused(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world()
    world.put(range(10))

    def again(name: str) -> None:
        if name == "kafka.partition":
            world.broker.delete_topic(world.topic)
            world.broker.make_topic(world.topic)

    monkeypatch.setattr(source.faults, "point", again)
    with pytest.raises(DeliveriesRefused, match="made again while it was read"):
        world.ingest()
    assert world.files == []


def test_removed_records_are_an_error_that_names_them_and_the_way_out(make_world: MakeWorld) -> None:
    world = make_world()
    world.put(range(10))
    world.ingest()
    world.put(range(10, 40))
    world.broker.delete_records(world.topic, 0, 25)
    with pytest.raises(SourceError, match=r"partition 0 .* offset 10 .* begins at 25: 15 offsets are lost") as error:
        world.ingest()
    assert "`resume_at: {0: 25}`" in str(error.value)
    assert world.ids() == list(range(10))
    world.with_options(resume_at={0: 25})
    assert world.ingest().rows == 15
    assert world.ids() == [*range(10), *range(25, 40)]


def test_records_removed_while_they_are_read(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(partitions=2)
    world.put(range(10), partition=0)
    world.put(range(10, 40), partition=1)

    def remove(name: str) -> None:
        if name == "kafka.partition":
            world.broker.delete_records(world.topic, 1, 25)

    monkeypatch.setattr(source, "OFFSETS", 10)
    monkeypatch.setattr(source.faults, "point", remove)
    with pytest.raises(SourceError, match=r"\[1\] lost messages while it was read"):
        world.ingest()
    assert world.ids() == list(range(10))
    monkeypatch.undo()
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", world.broker.uri)
    with pytest.raises(SourceError, match=r"partition 1 .* offset 0 .* begins at 25"):
        world.ingest()


def test_a_compacted_topic(make_world: MakeWorld) -> None:
    config = {
        "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "0", "min.compaction.lag.ms": "0",
    }  # fmt: skip
    world = make_world(config=config)
    for first in range(0, 400, 100):
        world.put(range(first, first + 100), key=lambda value: str(value["id"] % 10))
    deadline = threading.Event()
    while len(world.broker.read(world.topic)) >= 400:  # the broker compacts when it comes to it
        world.put([400], key=lambda value: "x")
        assert not deadline.wait(0.2)
    world.ingest()
    world.require_all()
    assert world.ingest().rows == 0


def test_the_group_is_told_the_position_and_decides_nothing(make_world: MakeWorld) -> None:
    world = make_world(group="lag-display")
    world.put(range(10))
    world.ingest()
    asked = ConsumerGroupTopicPartitions("lag-display")
    (told,) = world.broker.admin.list_consumer_group_offsets([asked])["lag-display"].result().topic_partitions
    assert (told.topic, told.partition, told.offset) == (world.topic, 0, 10)
    world.broker.rewind(world.topic, "lag-display")
    world.put(range(10, 13))
    assert world.ingest().rows == 3
    assert world.ids() == list(range(13))


def test_big_messages_come_in_small_lists(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world()
    world.broker.put(world.topic, ({**job(number), "more": "x" * 500_000} for number in range(40)))
    sizes: list[int] = []
    of = source.Rows.of

    def watched(self: Any, messages: Any) -> Any:
        sizes.append(messages.size)
        return of(self, messages)

    monkeypatch.setattr(source.Rows, "of", watched)
    monkeypatch.setattr(kafka_client, "STEP", 4)
    assert world.ingest().rows == 40
    assert max(sizes) < 8 << 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"offset_column": "place"}, r"source\.offset_column` is `place`: declare it .* `place: \{type: int64\}`"),
        ({"timestamp_column": "part"}, r"timestamp_column` is `part`"),
    ],
)
def test_columns_that_kafka_fills_must_be_declared(make_world: MakeWorld, options: dict[str, str], said: str) -> None:
    world = make_world(**options)
    with pytest.raises(ParamsError, match=said):
        world.ingest()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({}, "lacks `bootstrap.servers`"),
        ({"no.such.option": "1"}, "not valid.*no.such.option"),
        ({"error_cb": "a.b"}, "`error_cb` is a function"),
        ({"plugin.library.paths": "/tmp/any.so"}, "`plugin.library.paths` loads a library"),
        ({"ssl.engine.location": "/tmp/any.so"}, "`ssl.engine.location` loads a library"),
        ({"bootstrap.servers": "127.0.0.1:1"}, "127.0.0.1:1"),
        ({"bootstrap.servers": "no-such-host.invalid:9092"}, "no-such-host.invalid.*resolve"),
        ({"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"}, "[Ss][Aa][Ss][Ll]|Disconnected"),
        ({"security.protocol": "ssl", "ssl.ca.pem": "nonsense"}, "ssl"),
    ],
)  # fmt: skip
def test_connections_that_do_not_work_say_why_and_no_secret(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str], extra: dict[str, str], said: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    world = make_world(timeout="3 seconds")
    default = {"bootstrap.servers": world.broker.address} if extra else {}
    connection = {"conn_type": "kafka", "password": SECRET, "login": "someone", "extra": {**default, **extra}}
    connection["extra"] |= {"sasl.password": SECRET}
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", json.dumps(connection))
    with pytest.raises(SourceError, match=said) as error:
        world.ingest()
    assert "connection `stream`" in str(error.value)
    assert SECRET not in str(error.value) + caplog.text + "".join(capfd.readouterr())


def test_no_secret_of_a_connection_that_works_is_left_anywhere(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = make_world(group="lag-display")
    extra = {"bootstrap.servers": world.broker.address, "sasl.password": SECRET, "isolation.level": "read_uncommitted"}
    monkeypatch.setenv("AIRFLOW_CONN_STREAM", json.dumps({"conn_type": "kafka", "extra": json.dumps(extra)}))
    world.put(range(5), transaction="x", abort=True)
    world.put(range(5, 9))
    result = world.ingest()
    assert world.ids() == [5, 6, 7, 8]
    assert "`isolation.level` is read_committed whatever the connection says" in caplog.text
    assert SECRET not in caplog.text + result.model_dump_json()
    for path in world.project.home.root.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
