"""A real Kafka broker under a test's control: topics, messages with and without transactions, kill and start."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    NewPartitions,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)  # fmt: skip

from evergreen.local import kafka
from tests.tls import make_certificate

_numbers = itertools.count()
READY_SECONDS = 120  # on a machine that is busy with much else


class KafkaServer:
    """One broker with its state in `folder`."""

    def __init__(self, folder: Path, port: int, controller: int, sasl: tuple[int, str] | None = None) -> None:
        self.folder, self.port = folder, port
        self.address = f"127.0.0.1:{port}"
        self.uri = kafka.uri(port)
        self.admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        self._process: subprocess.Popen[bytes] | None = None
        kafka.make_storage(folder, port, controller)
        if sasl is not None:
            self._listen_with_password(*sasl)

    def start(self) -> None:
        """Start it and return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                kafka.server_command(self.folder), stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + READY_SECONDS
        while not kafka.is_ready(self.port):
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()

    def _listen_with_password(self, port: int, password: str) -> None:
        """One more listener, with TLS, for a client that logs in as `reader`, by PLAIN or SCRAM."""
        place = self.folder / "server.properties"
        lines = place.read_text().replace(",CONTROLLER://", f",SASL://127.0.0.1:{port},CONTROLLER://")
        lines = lines.replace("PLAINTEXT:PLAINTEXT,", "PLAINTEXT:PLAINTEXT,SASL:SASL_SSL,")
        login = "org.apache.kafka.common.security"
        certificate, key = make_certificate(self.folder)
        key.write_text(key.read_text() + certificate.read_text())
        place.write_text(
            f"{lines}\nsasl.enabled.mechanisms = PLAIN,SCRAM-SHA-512\n"
            f"listener.name.sasl.plain.sasl.jaas.config = {login}.plain.PlainLoginModule required"
            f' user_reader="{password}";\n'
            f"listener.name.sasl.scram-sha-512.sasl.jaas.config = {login}.scram.ScramLoginModule required;\n"
            f"listener.name.sasl.ssl.keystore.type = PEM\nlistener.name.sasl.ssl.keystore.location = {key}\n"
        )

    def let_in_by_scram(self, user: str, password: str) -> None:
        """Keep a user's password for SCRAM, as the cluster itself does."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user, info, password.encode())
        self.admin.alter_user_scram_credentials([change])[user].result()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def make_topic(self, name: str | None = None, partitions: int = 1, **config: str) -> str:
        """Make a topic, of a name of its own where none is given."""
        name = name or f"topic-{os.getpid()}-{next(_numbers)}"
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result()
        self._wait(lambda: self._partitions(name) == partitions)
        return name

    def delete_topic(self, name: str) -> None:
        self.admin.delete_topics([name])[name].result()
        self._wait(lambda: self._partitions(name) == 0)

    def add_partitions(self, name: str, total: int) -> None:
        self.admin.create_partitions([NewPartitions(name, total)])[name].result()
        self._wait(lambda: self._partitions(name) == total)

    def delete_records(self, name: str, partition: int, before: int) -> None:
        place = TopicPartition(name, partition, before)
        self.admin.delete_records([place])[place].result()

    def producer(self, **config: Any) -> Producer:
        return Producer({"bootstrap.servers": self.address, "linger.ms": 5, **config})

    def put(
        self, topic: str, values: Iterable[Any], partition: int = 0, transaction: str | None = None,
        abort: bool = False, key: Callable[[Any], str | bytes | None] = lambda value: None,
    ) -> None:  # fmt: skip
        """Produce values (a dict as JSON, bytes as they are, None as a tombstone) and wait until they are there."""
        producer = self.producer(**({"transactional.id": transaction} if transaction else {}))
        if transaction:
            producer.init_transactions()
            producer.begin_transaction()
        for value in values:
            content = json.dumps(value, default=str).encode() if isinstance(value, Mapping) else value
            producer.produce(topic, content, key(value), partition)
            producer.poll(0)
        producer.flush()
        if transaction:
            producer.abort_transaction() if abort else producer.commit_transaction()

    def read(self, topic: str) -> list[tuple[int, int, bytes | None, bytes | None]]:
        """Everything committed that the topic holds, one message at a time: partition, offset, key, value."""
        consumer = Consumer({
            "bootstrap.servers": self.address, "group.id": "tests", "isolation.level": "read_committed",
            "enable.partition.eof": True, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        })  # fmt: skip
        partitions = self._partitions(topic)
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        found, ended = [], set()
        while len(ended) < partitions:
            message = consumer.poll(30)
            assert message is not None, f"{topic}: nothing came for 30 s"
            if (error := message.error()) is None:
                found.append((message.partition(), message.offset(), message.key(), message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
        consumer.close()
        return sorted(found)

    def has_topic(self, name: str) -> bool:
        return self._partitions(name) > 0

    def rewind(self, topic: str, group: str) -> None:
        """Set what the broker believes that a group has read back to the beginning."""
        places = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])
        self.admin.alter_consumer_group_offsets([places])[group].result()

    def damage_last_message(self, topic: str, partition: int = 0) -> None:
        """Flip a bit of the newest segment, as a bad disk does; no checksum is right any more."""
        segment = max((self.folder / "logs" / f"{topic}-{partition}").glob("*.log"))
        with segment.open("r+b") as file:
            file.seek(-20, os.SEEK_END)
            byte = file.read(1)[0]
            file.seek(-20, os.SEEK_END)
            file.write(bytes([byte ^ 1]))

    def _partitions(self, name: str) -> int:
        found = self.admin.list_topics(timeout=30).topics.get(name)
        return len(found.partitions) if found and not found.error else 0

    @staticmethod
    def _wait(done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline
