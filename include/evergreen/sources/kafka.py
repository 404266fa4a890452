"""Kafka: the committed messages of one topic as rows, from the lake's position up to the end seen at the start.

The position is in the lake's manifest and nowhere else. Messages that are no rows are set aside one by one; tombstones
(messages without a value) are counted and passed over: no row is deleted for one.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from evergreen import faults
from evergreen.errors import SourceError
from evergreen.lake.rejects import Reject
from evergreen.lake.schema import FILE_ROWS
from evergreen.params.base import Duration, Section
from evergreen.sources import kafka_ranges as ranges
from evergreen.sources.base import Inferred, Receipt, Request
from evergreen.sources.kafka_client import TopicClient
from evergreen.sources.kafka_json import Epoch
from evergreen.sources.kafka_messages import Messages
from evergreen.sources.kafka_rows import Columns, Rows
from evergreen.sources.threads import in_order

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

OFFSETS = FILE_ROWS  # of one delivery
PARSERS = 2  # threads, beside the one that reads and the one that writes


class Kafka(Inferred, Section):
    """Messages that are JSON objects, one row each. Fields are found by name; undeclared ones are ignored."""

    ordered: ClassVar[bool] = True

    connection: str = Field(
        min_length=1,
        description="The Airflow connection, of the type kafka. Its extra holds librdkafka's options as they are, such "
        "as `bootstrap.servers`, `security.protocol`, `sasl.mechanism`, `ssl.ca.location`; login and password are "
        "those of SASL where the extra has none.",
    )
    topic: str = Field(min_length=1, description="The topic, all partitions of it.")
    start: Literal["earliest", "latest"] = Field(
        "earliest", description="Where the first read begins: at the oldest message that is there, or at the end."
    )
    epoch: Epoch | None = Field(
        None,
        description="What a number in a timestamp column counts since 1970; by default moments are ISO 8601 text.",
    )
    partition_column: str | None = Field(None, description="A declared int64 column for the message's partition.")
    offset_column: str | None = Field(None, description="A declared int64 column for the message's offset.")
    timestamp_column: str | None = Field(
        None, description="A declared timestamp column for the message's own time; null where that is past 9999."
    )
    key_column: str | None = Field(None, description="A declared string column for the message's key.")
    group: str | None = Field(
        None,
        min_length=1,
        description="A consumer group that is told the lake's position after each ingest, so that Kafka's own tools "
        "show the lag. Nothing is ever read from it.",
    )
    timeout: Duration = Field(
        "60 seconds", validate_default=True, description="How long to wait for a broker that says nothing."
    )
    resume_at: dict[int, int] = Field(
        default_factory=dict,
        description="Partition to offset: reading goes on there, where messages before it are lost or damaged, or "
        "where the partition was cut below the lake's position. Once the lake is there it says nothing more.",
    )
    accept_topic: str | None = Field(
        None, description="The id of a topic that was deleted and made again, to read it from its start."
    )

    def deliveries(self, request: Request) -> Iterator[TopicRange]:
        """What the topic holds between the position and the end seen now, in pieces of at most OFFSETS offsets."""
        self._columns.check(request)
        with self._client() as client:
            topic = client.describe()
            start = ranges.begin(topic, request.position, self.start, self.resume_at, self.accept_topic)
            backlog = sum(extent.end - start[number] for number, extent in topic.extents.items())
            log.info(
                "%s: %d offsets of %s to read, in %d partitions",
                request.table, backlog, self.topic, len(topic.extents),
            )  # fmt: skip
            moved = ranges.after(topic, request.position, start, self.resume_at)
            if not backlog and moved != request.position:  # such as a first read from the end, which may be 0
                yield TopicRange(client, topic, (), moved, self._rows(request))
            reached = dict(start)
            for piece in ranges.plan(topic, start, OFFSETS):
                reached |= {part.partition: part.end for part in piece}
                position = ranges.after(topic, request.position, reached, self.resume_at)
                yield TopicRange(client, topic, piece, position, self._rows(request))

    def sample(self, request: Request, rows: int) -> pa.Table | None:
        """The first messages of each partition until there are `rows` rows; types are inferred."""
        import pyarrow as pa

        parts: list[pa.Table] = []
        with self._client() as client:
            extents = sorted(client.describe().extents.items())
            whole = (ranges.Range(number, extent.first, extent.end) for number, extent in extents)
            for messages in chain.from_iterable(map(client.read, whole)):
                part = self._rows(request).sample(messages)
                parts += [part] if part is not None else []
                if sum(part.num_rows for part in parts) >= rows:
                    break
        if not parts:
            return None
        return pa.concat_tables(parts, promote_options="permissive").slice(0, rows)

    def acknowledge(self, request: Request, position: Mapping[str, Any]) -> None:
        """Tell the group, if there is one, how far the lake is; that it cannot be told is no reason to fail."""
        known = position.get(self.topic)
        if self.group is None or known is None:
            return
        try:
            with self._client() as client:
                client.acknowledge(self.group, {int(number): offset for number, offset in known["next"].items()})
        except SourceError as error:
            log.warning("%s: the group %s was not told the position: %s", request.table, self.group, error)

    @property
    def _columns(self) -> Columns:
        return Columns(self.partition_column, self.offset_column, self.timestamp_column, self.key_column)

    def _client(self) -> TopicClient:
        return TopicClient(self.connection, self.topic, self.timeout.total_seconds())

    def _rows(self, request: Request) -> Rows:
        return Rows(request.schema, self._columns, self.epoch)


@dataclass
class TopicRange:
    """A piece of a topic as a delivery; read before the next one, from the same client."""

    client: TopicClient
    topic: ranges.Topic
    parts: tuple[ranges.Range, ...]
    position: Mapping[str, Any]
    rows: Rows
    _bytes: int = 0
    _tombstones: int = 0

    @property
    def origin(self) -> str:
        """Topic, partitions and offsets."""
        return ranges.name(self.topic, self.parts)

    def batches(self) -> Generator[pa.RecordBatch | Reject, None, None]:
        """The messages as rows, one partition after the other, each in the order of its offsets."""
        for part in self.parts:
            with closing(in_order(self.rows.of, self._counted(part), PARSERS)) as found:
                for batches in found:
                    yield from batches
                    faults.point("kafka.batch")
            faults.point("kafka.partition")
        if self._tombstones:
            log.info("%s: tombstones passed over: %d; the rows of their keys stay", self.origin, self._tombstones)

    def receipt(self) -> Receipt:
        """What names the piece for ever, if the topic is still the one that was read, and what lies behind it now."""
        lag = ranges.behind(self.client.require_same(self.topic), self.position)
        return Receipt(ranges.digest(self.topic, self.parts), self._bytes, self.position, f"{lag:,} offsets")

    def _counted(self, part: ranges.Range) -> Iterator[Messages]:
        for messages in self.client.read(part):
            self._bytes += messages.size
            self._tombstones += messages.tombstones
            yield messages
