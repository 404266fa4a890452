"""Talking to a Kafka cluster about one topic: what it holds, its messages in order, and errors without secrets."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from evergreen.errors import SourceError
from evergreen.sources.connections import Connection, find_connection
from evergreen.sources.kafka_messages import Messages
from evergreen.sources.kafka_ranges import Extent, Range, Topic

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

log = logging.getLogger(__name__)

ROWS, BYTES = 10_000, 4 << 20  # of the messages that are handed on together, whichever is reached first
# Messages that are taken from the client at once, fewer where those before them were big; so few of them stay in the
# processor's cache until they are copied.
STEP = 500
WAIT = 0.1  # seconds that a step waits for messages that do not come, as where transactions were aborted

# A connection may set others for these, but for the ones below.
DEFAULTS = {
    "group.id": "evergreen",  # the client wants one; nothing is read from it
    "client.id": "evergreen",
    "fetch.queue.backoff.ms": 10,  # 1000, the client's own, leaves the wire idle
    "fetch.wait.max.ms": 10,  # changing to another partition waits for the last one's empty answer
    "queued.max.messages.kbytes": 8_192,
    "reconnect.backoff.max.ms": 1_000,
}
FIXED = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
    "check.crcs": True,
}
_CONSUMER_ONLY = re.compile(
    r"^(group\.|enable\.|auto\.|session\.|heartbeat\.|max\.poll|fetch\.|queued\.|isolation|partition\.)"
)
_LIBRARIES = ("plugin.library.paths", "ssl.engine.location")
_SECRET = re.compile(r"pass|secret|token|key|jaas|oauth|pem|credential", re.IGNORECASE)


def client_options(connection: Connection) -> dict[str, Any]:
    """The options of librdkafka that a connection holds: its extra as it is; host, port, login and password too."""
    options = {
        name: str(value).lower() if isinstance(value, bool) else value for name, value in connection.extra.items()
    }
    if connection.host:
        options.setdefault("bootstrap.servers", f"{connection.host}:{connection.port or 9092}")
    if connection.login:
        options.setdefault("sasl.username", connection.login)
        options.setdefault("sasl.password", connection.secret() or "")
    return options


class TopicClient:
    """A connection to one topic; close it."""

    def __init__(self, connection: str, topic: str, timeout: float) -> None:
        from confluent_kafka import Consumer, KafkaException
        from confluent_kafka.admin import AdminClient

        self.topic, self._connection, self._timeout = topic, connection, timeout
        options = client_options(find_connection(connection, ("kafka",)))
        self._secrets = [str(value) for name, value in options.items() if _SECRET.search(name) and len(str(value)) > 3]
        self._trouble: KafkaError | None = None
        self._reading: tuple[int, int] | None = None  # partition and offset that the next message comes from
        self._skipped_to, self._moved = -1, 0.0
        self._check(options)
        told = {
            "error_cb": self._note,
            "stats_cb": self._notice,
            "statistics.interval.ms": int(min(1, timeout / 4) * 1e3),
        }
        admin = {name: value for name, value in options.items() if not _CONSUMER_ONLY.match(name)}
        try:
            self._consumer = Consumer({**DEFAULTS, **options, **FIXED, **told}, logger=log)
            self._admin = AdminClient({"client.id": "evergreen", **admin}, logger=log)
        except (KafkaException, ValueError, TypeError) as error:
            raise self._error(f"its options are not valid: {error}") from None

    def __enter__(self) -> TopicClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self._consumer.close()

    def describe(self) -> Topic:
        """The topic with the committed extent of each partition now."""
        from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
        from confluent_kafka.admin import OffsetSpec

        id_, partitions = self._described(TopicCollection([self.topic]))
        committed = {"isolation_level": IsolationLevel.READ_COMMITTED, "request_timeout": self._timeout}
        asked = [
            self._admin.list_offsets({TopicPartition(self.topic, number): spec for number in partitions}, **committed)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
        ]
        first, end = ({at.partition: self._result(one).offset for at, one in answer.items()} for answer in asked)
        return Topic(self.topic, id_, {number: Extent(first[number], end[number]) for number in partitions})

    def require_same(self, topic: Topic) -> Topic:
        """The topic as it is now. Raises SourceError where it is not the one that it was."""
        now = self.describe()
        if now.id != topic.id:
            raise SourceError(
                f"{self.topic} was deleted and made again while it was read; nothing of this piece is taken"
            )
        return now

    def read(self, part: Range) -> Iterator[Messages]:
        """The messages of a range in order, at most ROWS and about BYTES at a time.

        The end is recognised where its last offsets hold no message: an aborted transaction, a compacted topic. Raises
        SourceError where nothing comes for the timeout, or messages are lost or damaged.
        """
        from confluent_kafka import TopicPartition

        if self._reading != (part.partition, part.first):
            self._consumer.assign([TopicPartition(self.topic, part.partition, part.first)])
        self._reading = None
        at, step, held, since = part.first, STEP, Messages(self.topic, part.partition), time.monotonic()
        while at < part.end:
            got = self._consumer.consume(min(step, part.end - at), WAIT)
            good, ended = self._good(got, part)
            if good or ended:
                since, self._trouble = time.monotonic(), None
            elif time.monotonic() - max(since, self._moved) > self._timeout:
                raise self._error(f"nothing came of {self.topic}[{part.partition}]@{at} for {self._timeout:.0f} s")
            if good and good[-1].offset() >= part.end:  # the last offsets of the range hold nothing
                good, ended = [message for message in good if message.offset() < part.end], True
            elif good:
                at = good[-1].offset() + 1
                self._reading = (part.partition, at) if at == part.end and not ended else None
            step = max(1, min(STEP, BYTES // held.add(good)))
            if held.size >= BYTES or len(held) >= ROWS:
                yield held
                held = Messages(self.topic, part.partition)
            if ended:
                break
        if len(held):
            yield held

    def acknowledge(self, group: str, offsets: Mapping[int, int]) -> None:
        """Tell the broker how far the group is. Raises SourceError where it does not take it."""
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        options = client_options(find_connection(self._connection, ("kafka",)))
        places = [TopicPartition(self.topic, number, offset) for number, offset in offsets.items()]
        try:
            consumer = Consumer({**DEFAULTS, **options, **FIXED, "group.id": group}, logger=log)
            try:
                consumer.commit(offsets=places, asynchronous=False)
            finally:
                consumer.close()
        except KafkaException as error:
            raise self._error(str(error)) from None

    def _good(self, got: Sequence[Message], part: Range) -> tuple[list[Message], bool]:
        """The messages without the client's own notes, and whether one says that the range's end is reached."""
        from confluent_kafka import KafkaError, Message

        if not any(map(Message.error, got)):
            return list(got), False
        notes, ended = [message for message in got if message.error() is not None], False
        for note in notes:
            error = note.error()
            if error is None or note.partition() not in (part.partition, -1):
                continue
            if error.code() == KafkaError._PARTITION_EOF:
                ended = ended or (note.offset() or 0) >= part.end
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise self._error(
                    f"{self.topic}[{part.partition}] lost messages while it was read; the next run names them"
                )
            elif not error.retriable():
                raise self._error(f"{self.topic}[{part.partition}]@{note.offset()}: {error.str()}")
        return [message for message in got if message.error() is None], ended

    def _described(self, asked: Any) -> tuple[str, tuple[int, ...]]:
        from confluent_kafka import KafkaError

        future = self._admin.describe_topics(asked, request_timeout=self._timeout)[self.topic]
        found = self._result(future, {KafkaError.UNKNOWN_TOPIC_OR_PART: (
            f"the topic `{self.topic}` is not there: it was deleted, never made, or this connection may not see it"
        )})  # fmt: skip
        return str(found.topic_id), tuple(sorted(one.id for one in found.partitions))

    def _result(self, future: Future[Any], known: Mapping[int, str] | None = None) -> Any:
        from confluent_kafka import KafkaException

        try:
            return future.result()
        except KafkaException as error:
            problem: KafkaError = error.args[0]
            self._consumer.poll(0.5)  # lets it tell its own trouble, which says more than that time is over
            raise self._error((known or {}).get(problem.code()) or problem.str()) from None

    def _note(self, error: KafkaError) -> None:
        log.info("%s: %s", self.topic, error)
        # That all brokers are down follows from a refused login or certificate, and says less.
        refused = self._trouble is not None and self._trouble.name() in ("_AUTHENTICATION", "_SSL")
        if not (refused and error.name() == "_ALL_BROKERS_DOWN"):
            self._trouble = error

    def _notice(self, statistics: str) -> None:
        """Note when the client moves on, also where it hands nothing out: over a long stretch of aborted messages."""
        partitions = json.loads(statistics)["topics"].get(self.topic, {}).get("partitions", {})
        reached = sum(one["next_offset"] for number, one in partitions.items() if number != "-1")
        if reached != self._skipped_to:
            self._skipped_to, self._moved = reached, time.monotonic()

    def _check(self, options: Mapping[str, Any]) -> None:
        if not options.get("bootstrap.servers"):
            raise self._error("its extra lacks `bootstrap.servers`, such as broker-1:9092,broker-2:9092")
        for name, value in options.items():
            if name.endswith("_cb"):
                raise self._error(f"`{name}` is a function, which a connection cannot hold here")
            if name in _LIBRARIES:
                raise self._error(f"`{name}` loads a library into this process, which a connection may not")
            if name in FIXED and str(value).lower() != str(FIXED[name]).lower():
                log.warning("%s: `%s` is %s whatever the connection says", self.topic, name, FIXED[name])

    def _error(self, what: str) -> SourceError:
        text = f"Kafka, connection `{self._connection}`: {what}"
        if self._trouble is not None:
            text += f" (the client says: {self._trouble.str()})"
            if self._trouble.name() == "_ALL_BROKERS_DOWN":
                text += "; is the address right, and `security.protocol` that of its port?"
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return SourceError(text)
