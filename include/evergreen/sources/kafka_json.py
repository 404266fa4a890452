"""Messages of JSON as rows with declared types, a whole batch at once; a bad one is found and set aside by itself.

Arrow parses some thousand messages in one go, ten times as fast as one by one. One bad message fails the whole go: then
the batch is halved until the bad ones stand alone, so that the same parser says of each whether it is good.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from evergreen.sources.csv_checks import zoned
from evergreen.sources.moments import moments

if TYPE_CHECKING:
    import pyarrow as pa

Epoch = Literal["seconds", "milliseconds", "microseconds"]
UNITS: dict[Epoch, str] = {"seconds": "s", "milliseconds": "ms", "microseconds": "us"}
SHOWN = 80  # characters of a bad value


class Unfit(Exception):
    """A batch, or a single message, is not what the schema asks for."""


@dataclass(frozen=True)
class Parsed:
    """The rows of the good messages, in order, and why each of the others, by its index, is bad."""

    rows: pa.RecordBatch
    bad: dict[int, str]


class Parser:
    """Parses messages into `schema`; with `epoch`, moments are whole numbers since 1970 (UTC), else ISO 8601 text."""

    def __init__(self, schema: pa.Schema, epoch: Epoch | None) -> None:
        import pyarrow as pa
        from pyarrow import json as arrow

        self._schema, self._epoch = schema, epoch
        read = pa.schema([(field.name, self._read_type(field.type)) for field in schema])
        self._options = arrow.ParseOptions(explicit_schema=read, unexpected_field_behavior="ignore")

    def parse(self, values: Sequence[bytes]) -> Parsed:
        """Parse messages, none of which is None."""
        import pyarrow as pa

        parts: list[pa.RecordBatch] = []
        bad: dict[int, str] = {}
        for part in self._parts(values, 0):
            if isinstance(part, tuple):
                bad[part[0]] = part[1]
            else:
                parts.append(part)
        rows = pa.concat_batches(parts) if len(parts) > 1 else parts[0] if parts else None
        return Parsed(pa.RecordBatch.from_pylist([], self._schema) if rows is None else rows, bad)

    def _parts(self, values: Sequence[bytes], first: int) -> Iterator[pa.RecordBatch | tuple[int, str]]:
        if not values:
            return
        try:
            yield self._whole(values)
        except Unfit as error:
            if len(values) == 1:
                yield first, self._reason(values[0], str(error))
            else:
                half = len(values) // 2
                yield from self._parts(values[:half], first)
                yield from self._parts(values[half:], first + half)

    def _whole(self, values: Sequence[bytes]) -> pa.RecordBatch:
        """All messages as rows, or Unfit.

        Each begins with `{` and ends with `}`, so no two can be parts of one object; then as many rows as messages
        means one row each, and Arrow, which dies of a document that is `null`, never begins with one.
        """
        import pyarrow as pa
        from pyarrow import json as arrow

        if not _are_objects(values):
            values = [value.strip(b" \t\r\n") for value in values]
            if not _are_objects(values):
                raise Unfit("is not a JSON object")
        joined = b"\n".join(values)
        if not joined.isascii():
            try:
                joined.decode()
            except UnicodeDecodeError as error:
                raise Unfit(f"is not UTF-8: {error.reason}") from None
        try:
            # One block, which a message cannot straddle.
            read = arrow.ReadOptions(use_threads=False, block_size=len(joined) + 1)
            table = arrow.read_json(pa.BufferReader(joined), read, self._options)
            if table.num_rows != len(values):
                raise Unfit("holds more than one JSON document")
            arrays = [self._typed(table.column(field.name), field.type) for field in self._schema]
        except pa.ArrowInvalid as error:
            raise Unfit(str(error)) from None
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _read_type(self, type_: pa.DataType) -> pa.DataType:
        import pyarrow as pa

        if pa.types.is_timestamp(type_) and self._epoch:
            return pa.int64()
        return pa.string() if pa.types.is_temporal(type_) else type_

    def _typed(self, column: pa.ChunkedArray, type_: pa.DataType) -> pa.Array:
        import pyarrow as pa

        array = column.combine_chunks()
        if array.type == type_:
            return array
        if pa.types.is_integer(array.type) and self._epoch:
            return array.cast(pa.timestamp(UNITS[self._epoch])).cast(type_)
        return moments(array, type_) if pa.types.is_timestamp(type_) else array.cast(type_)

    def _reason(self, value: bytes, error: str) -> str:
        """Why a message is bad, in words; Arrow's own where none fits."""
        if not value.strip():
            return "is empty"
        try:
            tree = json.loads(value.decode())
        except UnicodeDecodeError:
            return "is not UTF-8"
        except (ValueError, RecursionError) as problem:
            return f"is not JSON: {problem}; it begins with {_shown(value.decode(errors='replace'))}"
        if not isinstance(tree, dict):
            return f"is JSON, but no object: {_shown(value.decode())}"
        for field in self._schema:
            found = tree.get(field.name)
            if found is not None and not self._fits(found, field.type):
                return f"`{field.name}` is {_shown(json.dumps(found))} and should be {self._wanted(field.type)}"
        return error.removeprefix("JSON parse error: ").removesuffix(" in row 0")

    def _fits(self, value: Any, type_: pa.DataType) -> bool:
        import pyarrow as pa

        try:
            read = self._read_type(type_)
            if isinstance(value, bool) is not pa.types.is_boolean(read):
                return False
            # from_pylist alone would take 1.5 for a whole number where Arrow's JSON does not
            if pa.types.is_integer(read) and not isinstance(value, int):
                return False
            self._typed(pa.chunked_array([pa.array([value], read)]), type_)
        # The last of them is for half a surrogate pair.
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
            return False
        return True

    def _wanted(self, type_: pa.DataType) -> str:
        import pyarrow as pa

        moment = f"{self._epoch} since 1970" if self._epoch else "a moment such as 2013-01-31T12:00:00Z"
        kinds = (
            (pa.types.is_boolean, "true or false"), (pa.types.is_integer, "a whole number of 64 bits"),
            (pa.types.is_floating, "a number"), (pa.types.is_timestamp, moment),
            (pa.types.is_date, "a date such as 2013-01-31"),
        )  # fmt: skip
        return next((words for is_kind, words in kinds if is_kind(type_)), "text")


def _are_objects(values: Sequence[bytes]) -> bool:
    """Whether each begins and ends as an object does; a third of the time of a loop that asks each."""
    try:
        return set(map(itemgetter(0), values)) == {ord("{")} and set(map(itemgetter(-1), values)) == {ord("}")}
    except IndexError:  # an empty one
        return False


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def infer(values: Sequence[bytes]) -> tuple[list[int], pa.Table | None]:
    """Which of the messages are JSON objects, and they as a table with inferred types; a column of several is text."""
    import pyarrow as pa

    trees: dict[int, dict[str, Any]] = {}
    for place, value in enumerate(values):
        try:
            tree = json.loads(value.decode())
            json.dumps(tree, ensure_ascii=False).encode()  # which half a surrogate pair cannot be
        except (ValueError, RecursionError):
            continue
        if isinstance(tree, dict):
            trees[place] = tree
    if not trees:
        return [], None
    try:
        return list(trees), _with_zones(_infer(trees.values()), list(trees.values()))
    except pa.ArrowInvalid:
        columns = dict.fromkeys(name for tree in trees.values() for name in tree)
        mixed = {name for name in columns if not _alike([tree.get(name) for tree in trees.values()])}
        texts = ({name: json.dumps(v) if name in mixed else v for name, v in tree.items()} for tree in trees.values())
        return list(trees), _with_zones(_infer(texts), list(trees.values()))


def _infer(trees: Iterable[Any]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import json as arrow

    content = "\n".join(map(json.dumps, trees)).encode()
    read = arrow.ReadOptions(use_threads=False, block_size=len(content) + 1)
    return arrow.read_json(pa.BufferReader(content), read)


def _with_zones(table: pa.Table, trees: Sequence[dict[str, Any]]) -> pa.Table:
    """Moments that say their offset are UTC by now, which Arrow does not tell."""
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and zoned([tree.get(field.name) for tree in trees]):
            table = table.set_column(index, field.name, table.column(index).cast(pa.timestamp("us", "UTC")))
    return table


def _alike(values: Sequence[Any]) -> bool:
    kinds = {"number" if type(value) in (int, float) else type(value).__name__ for value in values if value is not None}
    return len(kinds) <= 1 and not kinds & {"dict", "list"}
