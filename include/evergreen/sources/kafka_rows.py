"""Messages of a topic as rows: their JSON, and what Kafka itself says of each in columns that the table declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evergreen.errors import ParamsError
from evergreen.lake.rejects import Reject
from evergreen.sources.base import Request
from evergreen.sources.kafka_json import Epoch, Parser, infer

if TYPE_CHECKING:
    import pyarrow as pa
    from confluent_kafka import Message

TYPES = {"partition": "int64", "offset": "int64", "timestamp": "timestamp", "key": "string"}


@dataclass(frozen=True)
class Columns:
    """The declared columns that Kafka fills; the others are fields of the JSON."""

    partition: str | None
    offset: str | None
    timestamp: str | None
    key: str | None

    def check(self, request: Request) -> None:
        """Raise ParamsError where one of them is not a column of the table, or of another type."""
        import pyarrow as pa

        is_kind = {"int64": pa.types.is_int64, "timestamp": pa.types.is_timestamp, "string": pa.types.is_string}
        place = f"params.yaml: `tables.{request.table}"
        for what, name in vars(self).items():
            if name is None:
                continue
            index = request.schema.get_field_index(name)
            if index < 0 or not is_kind[TYPES[what]](request.schema.field(index).type):
                raise ParamsError(
                    f"{place}.source.{what}_column` is `{name}`: declare it among the table's columns, "
                    f"as `{name}: {{type: {TYPES[what]}}}`"
                )
        if len(self.names) == len(request.schema):
            raise ParamsError(f"{place}.columns` declares nothing that is in a message")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in vars(self).values() if name is not None)


@dataclass
class Rows:
    """Turns lists of messages of one partition into batches; counts what it saw."""

    schema: pa.Schema
    columns: Columns
    epoch: Epoch | None
    bytes: int = 0
    tombstones: int = 0
    _parser: Parser = field(init=False)

    def __post_init__(self) -> None:
        import pyarrow as pa

        names = self.columns.names
        self._parser = Parser(pa.schema([one for one in self.schema if one.name not in names]), self.epoch)

    def of(self, messages: Sequence[Message]) -> Iterator[pa.RecordBatch | Reject]:
        """The rows of these messages, and those that are none."""
        full, values = _with_values(messages)
        self.tombstones += len(messages) - len(full)
        self.bytes += sum(map(len, values))
        parsed = self._parser.parse(values)
        reasons = parsed.bad
        if self.columns.key and (unreadable := [at for at, one in enumerate(full) if _has_bad_key(one)]):
            reasons = {**reasons, **dict.fromkeys(unreadable, "its key is not UTF-8")}
            parsed = self._parser.parse([value for at, value in enumerate(values) if at not in reasons])
        for at in sorted(reasons):
            yield _reject(full[at], reasons[at])
        if reasons:
            full = [message for at, message in enumerate(full) if at not in reasons]
        if full:
            yield self._batch(parsed.rows, full)

    def sample(self, messages: Sequence[Message]) -> pa.Table | None:
        """These messages with types inferred, and the columns that Kafka fills; None where none is a JSON object."""
        import pyarrow as pa

        full, values = _with_values(messages)
        places, table = infer(values)
        good = [full[place] for place in places]
        for what, name in vars(self.columns).items():
            if name is not None and table is not None:
                told = self._told(what, good)
                table = table.append_column(name, told.cast(pa.timestamp("us", "UTC")) if what == "timestamp" else told)
        return table

    def _batch(self, rows: pa.RecordBatch, messages: Sequence[Message]) -> pa.RecordBatch:
        import pyarrow as pa

        told = {name: what for what, name in vars(self.columns).items() if name is not None}
        arrays = [
            self._told(told[one.name], messages) if one.name in told else rows.column(one.name) for one in self.schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _told(self, what: str, messages: Sequence[Message]) -> pa.Array:
        """One of TYPES of each message; mapped over the client's own methods, which takes half of a loop's time."""
        import pyarrow as pa
        from confluent_kafka import Message

        if what == "partition":
            return pa.repeat(pa.scalar(messages[0].partition(), pa.int64()), len(messages))
        if what == "offset":
            return pa.array(map(Message.offset, messages), pa.int64(), size=len(messages))
        if what == "timestamp":
            moments = [moment if kind else None for kind, moment in map(Message.timestamp, messages)]
            return pa.array(moments, pa.int64()).cast(pa.timestamp("ms")).cast(pa.timestamp("us"))
        return pa.array(map(_text_key, messages), pa.string(), size=len(messages))


def _with_values(messages: Sequence[Message]) -> tuple[Sequence[Message], list[bytes]]:
    """The messages that have a value, and their values."""
    from confluent_kafka import Message

    values = list(map(Message.value, messages))
    if None not in values:
        return messages, values
    full = [message for message, value in zip(messages, values, strict=True) if value is not None]
    return full, [value for value in values if value is not None]


def _reject(message: Message, reason: str) -> Reject:
    kind, moment = message.timestamp()
    return Reject(
        place=f"{message.topic()}[{message.partition()}]@{message.offset()}",
        reason=reason,
        content=message.value() or b"",
        key=_raw_key(message),
        time=datetime(1970, 1, 1) + timedelta(milliseconds=moment) if kind else None,
    )


def _raw_key(message: Message) -> bytes | None:
    key = message.key()
    return key.encode() if isinstance(key, str) else key


def _text_key(message: Message) -> str | None:
    key = _raw_key(message)
    return None if key is None else key.decode()


def _has_bad_key(message: Message) -> bool:
    try:
        _text_key(message)
    except UnicodeDecodeError:
        return True
    return False
