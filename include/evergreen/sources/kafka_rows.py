"""Messages of a topic as rows: their JSON, and what Kafka itself says of each in columns that the table declares."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evergreen.errors import ParamsError
from evergreen.lake.rejects import Reject
from evergreen.sources.base import Request
from evergreen.sources.kafka_json import Epoch, Parser, infer
from evergreen.sources.kafka_messages import NO_TIME, Messages

if TYPE_CHECKING:
    import pyarrow as pa

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
    """Turns messages of one partition into batches; it keeps nothing, so several threads may."""

    schema: pa.Schema
    columns: Columns
    epoch: Epoch | None
    _parser: Parser = field(init=False)

    def __post_init__(self) -> None:
        import pyarrow as pa

        names = self.columns.names
        self._parser = Parser(pa.schema([one for one in self.schema if one.name not in names]), self.epoch)

    def of(self, messages: Messages) -> list[pa.RecordBatch | Reject]:
        """The messages that are none, and the rows of the others; tombstones are neither."""
        full, values = _with_values(messages)
        parsed = self._parser.parse(values)
        reasons = parsed.bad
        if self.columns.key and (unreadable := [at for at in range(len(full)) if _has_bad_key(full, at)]):
            reasons = {**reasons, **dict.fromkeys(unreadable, "its key is not UTF-8")}
            parsed = self._parser.parse([value for at, value in enumerate(values) if at not in reasons])
        rejects = [full.reject(at, reasons[at]) for at in sorted(reasons)]
        if reasons:
            full = full.only([at for at in range(len(full)) if at not in reasons])
        return [*rejects, self._batch(parsed.rows, full)] if len(full) else [*rejects]

    def sample(self, messages: Messages) -> pa.Table | None:
        """These messages with types inferred, and the columns that Kafka fills; None where none is a JSON object."""
        import pyarrow as pa

        full, values = _with_values(messages)
        places, table = infer(values)
        good = full.only(places)
        for what, name in vars(self.columns).items():
            if name is not None and table is not None:
                told = self._told(what, good)
                table = table.append_column(name, told.cast(pa.timestamp("us", "UTC")) if what == "timestamp" else told)
        return table

    def _batch(self, rows: pa.RecordBatch, messages: Messages) -> pa.RecordBatch:
        import pyarrow as pa

        told = {name: what for what, name in vars(self.columns).items() if name is not None}
        arrays = [
            self._told(told[one.name], messages) if one.name in told else rows.column(one.name) for one in self.schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _told(self, what: str, messages: Messages) -> pa.Array:
        """One of TYPES of each message."""
        import pyarrow as pa

        if what == "partition":
            return _whole_numbers(array("q", [messages.partition]) * len(messages))
        if what == "offset":
            return _whole_numbers(messages.offsets)
        if what == "timestamp":
            moments = _whole_numbers(messages.moments)
            if NO_TIME in messages.moments:
                moments = pa.array([None if one == NO_TIME else one for one in messages.moments], pa.int64())
            return moments.cast(pa.timestamp("ms")).cast(pa.timestamp("us"))
        return pa.array(map(_text_key, messages.keys), pa.string(), size=len(messages))


def _with_values(messages: Messages) -> tuple[Messages, list[bytes]]:
    """The messages that have a value, and their values."""
    if messages.tombstones:
        messages = messages.only([at for at, value in enumerate(messages.values) if value is not None])
    return messages, [value for value in messages.values if value is not None]


def _whole_numbers(values: array[int]) -> pa.Array:
    """An int64 array without `pa.array`, which imports pandas: 55 MB and 0.2 s."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def _text_key(key: bytes | str | None) -> str | None:
    return key.decode() if isinstance(key, bytes) else key


def _has_bad_key(messages: Messages, at: int) -> bool:
    try:
        _text_key(messages.keys[at])
    except UnicodeDecodeError:
        return True
    return False
