"""Records of JSON as rows of the declared columns, and as a sample with all they have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evergreen.errors import SourceError
from evergreen.sources import json_path
from evergreen.sources.values import BadValue, Reading, infer, to_array

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 20_000
BATCH_BYTES = 4 << 20  # of JSON; typed rows are mostly smaller


def parse(content: bytes, place: str, content_type: str) -> Any:
    """The tree of a JSON text; raises SourceError naming `place` for anything else, NaN included."""
    try:
        return json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        sent = content_type.partition(";")[0] or "a body without a content type"
        raise SourceError(f"{place}: sent {sent} that is not JSON: {str(error)[:200]}") from None


class Rows:
    """Converts lists of records, and remembers which columns were ever there."""

    def __init__(self, schema: pa.Schema, paths: Mapping[str, str], reading: Reading) -> None:
        self._schema, self._paths, self._reading = schema, paths, reading
        self._steps = [json_path.parse(paths[name]) for name in schema.names]
        self._seen: set[str] = set()
        self._keys: dict[str, None] = {}
        self._rows = 0

    def convert(self, records: list[Any], size: int) -> Iterator[tuple[pa.RecordBatch, list[list[Any]]]]:
        """Batches of bounded size, each with the columns that it was made of; `size` is the records' JSON in bytes.

        Raises SourceError with the record's number and the column for a value that does not fit.
        """
        import pyarrow as pa

        step = max(1, min(BATCH_ROWS, len(records) * BATCH_BYTES // max(size, 1)))
        for start in range(0, len(records), step):
            part = records[start : start + step]
            self._check(part, start)
            columns = [self._column(part, name, at) for name, at in zip(self._schema.names, self._steps, strict=True)]
            try:
                arrays = [
                    to_array(values, field, self._reading) for values, field in zip(columns, self._schema, strict=True)
                ]
            except BadValue as bad:
                raise SourceError(f"record {start + bad.index + 1}, column `{bad.column}`: {bad.reason}") from None
            self._rows += len(part)
            yield pa.RecordBatch.from_arrays(arrays, schema=self._schema), columns

    def absent(self, optional: tuple[str, ...]) -> str:
        """What is wrong where a declared column was in no record; the empty text where nothing is."""
        names = [name for name in self._schema.names if name not in self._seen and name not in optional]
        if not names or not self._rows:
            return ""
        paths = ", ".join(f"`{name}`" for name in names)
        return (
            f"none of {self._rows} records has the declared column{'s' * (len(names) > 1)} {paths}. Say in `fields` "
            f"where it is, or list it in `optional`. A record has: {', '.join(list(self._keys)[:40])}"
        )

    def _check(self, records: list[Any], start: int) -> None:
        if set(map(type, records)) <= {dict}:
            self._keys |= dict.fromkeys(flat(records[0]) if not self._keys else ())
            return
        by_number = all(isinstance(steps[0], int) for steps in self._steps)
        for index, record in enumerate(records):
            if not isinstance(record, list if by_number else dict):
                raise SourceError(
                    f"record {start + index + 1} is {json_path.outline(record)}, not an object with columns"
                )

    def _column(self, records: list[Any], name: str, steps: json_path.Steps) -> list[Any]:
        values, there = json_path.column(records, steps)
        if there:
            self._seen.add(name)
        return values


def quoted(name: str) -> str:
    """The path of a column that has the same name in a record."""
    return f'["{name}"]'


def flat(record: Any, prefix: str = "") -> dict[str, Any]:
    """The record with objects inside it as `outer.inner`, and lists as their JSON."""
    if not isinstance(record, dict):
        items = enumerate(record) if isinstance(record, list) else [(0, record)]
        return {f"[{number}]": value for number, value in items}
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list) else value
    return found


def sampled(records: list[dict[str, Any]], paths: Mapping[str, str], reading: Reading) -> pa.Table:
    """Flat records as a table: every name that occurs, under its column's name where a path leads to it."""
    import pyarrow as pa

    names = dict.fromkeys(name for record in records for name in record)
    columns = {_plain(path): column for column, path in paths.items()}
    arrays = [infer([record.get(name) for record in records], reading) for name in names]
    return pa.table(arrays, names=[columns.get(name, name) for name in names])


def _plain(path: str) -> str:
    return ".".join(f"[{step}]" if isinstance(step, int) else step for step in json_path.parse(path))


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON")
