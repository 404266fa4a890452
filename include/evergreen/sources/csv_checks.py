"""What Arrow's CSV reader lets pass in silence or says in riddles: quotes, NULs, zones, an error's place."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evergreen.sources import csv_dates
from evergreen.sources.files import Refused
from evergreen.sources.moments import moments

if TYPE_CHECKING:
    import pyarrow as pa

_BAD_CELL = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to (\S+?)(?:\[.*?\])?: (.*)", re.S)
_BAD_ROW = re.compile(r"CSV parse error: (?:Row #(\d+): )?Expected (\d+) columns, got (\d+): (.*)", re.S)
_DECLARED = {"double": "float64", "date32": "date"}  # Arrow's name: ours, where they differ
_ZONED = re.compile(r":.*(Z|[+-]\d\d(:?\d\d)?)$")
_INVALID = re.compile(r"invalid value '(.*)'", re.S)


class Tap:
    """A readable file that shows every block to `see` as it passes, and that leaves its stream open."""

    closed = False

    def __init__(self, stream: Any, see: Callable[[bytes], object] = len) -> None:
        self._stream, self._see = stream, see

    def read(self, size: int = -1) -> bytes:
        data = bytes(self._stream.read(size))
        self._see(data)
        return data

    def close(self) -> None:
        """Who opened the stream closes it."""


class Counts:
    """Lines and quotes in a stream of blocks; the last line counts with or without its line end."""

    def __init__(self) -> None:
        self._ends, self.quotes, self.ended = 0, 0, True
        self._nul = 0  # the line of the first one

    def add(self, data: bytes) -> None:
        import numpy as np

        if data:
            if not self._nul and b"\0" in data:
                self._nul = self._ends + data.count(b"\n", 0, data.index(b"\0")) + 1
            self._ends += int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))
            self.quotes += data.count(b'"')
            self.ended = data.endswith((b"\n", b"\r"))

    def check_text(self) -> None:
        """Raise Refused where a NUL was seen: Arrow takes it for a character."""
        if self._nul:
            raise Refused(
                f"line {self._nul} holds NUL bytes, which no text has; was the file damaged, or its writing cut short?"
            )

    def plain(self, rows: int) -> bool:
        """Whether every line but the header is a row and every quote has its partner: no value can run on."""
        return self._ends + (not self.ended) == rows + 1 and self.quotes % 2 == 0


def check_quotes(stream: Any, delimiter: str, rows: int, longest: int) -> None:
    """Read strictly, value by value (about a second per million rows), and raise Refused where quotes do not match.

    Arrow reads an unclosed quote up to the end of the file, or to the next quote, as one long value. `rows` is how
    many it found, without the header; `longest` is the longest value allowed.
    """
    limit = csv.field_size_limit(longest)
    lines = csv.reader(_text(stream), delimiter=delimiter, strict=True)
    try:
        found = sum(1 for line in lines if line) - 1
    except csv.Error as error:
        raise Refused(
            f"line {lines.line_num}: a quoted value is not closed, or goes on behind its quote ({error})"
        ) from None
    finally:
        csv.field_size_limit(limit)
    if found != rows:
        raise Refused(f"a quote is not closed: {rows} rows were read where a strict reader finds {found}")


def convert(
    batch: pa.RecordBatch, schema: pa.Schema, before: int, formats: Mapping[str, str] | None = None
) -> pa.RecordBatch:
    """The batch in `schema`: text becomes UTC moments. `before` is how many rows of the file came earlier."""
    import pyarrow as pa

    formats = formats or {}

    arrays = []
    for field in schema:
        array = batch.column(field.name)
        if field.name in formats:
            array = csv_dates.parse(array, field, formats[field.name], before + 2)
        elif array.type != field.type:
            try:
                array = moments(array, field.type)
            except pa.ArrowInvalid:
                raise Refused(_bad_moment(array, field, before)) from None
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _bad_moment(texts: pa.Array, field: pa.Field, before: int) -> str:
    import pyarrow as pa

    for index, text in enumerate(texts):
        for way in (field.type, pa.timestamp("us", "UTC")):
            try:
                text.cast(way)
                break
            except pa.ArrowInvalid:
                continue
        else:
            return _cell(
                before + index + 2,
                field.name,
                f"`{text}` is not a timestamp; expected ISO 8601, at most microseconds, such as 2013-04-01T04:00:00Z",
            )
    return f"column `{field.name}` holds a text that is no timestamp"


def zoned(values: Sequence[Any]) -> bool:
    """Whether each moment of these, as it is written, says its offset from UTC."""
    return all(value is None or _ZONED.search(str(value)) for value in values)


def explain(message: str, header: Sequence[str], rows: int = 0, before: int = 0) -> str:
    """Arrow's message in words that name the row, the column, the value and what was expected.

    `rows` is how many were read: a row that does not end is the next. `before` is how many of them came in parts
    before the one that Arrow counts in.
    """
    if cell := _BAD_CELL.match(message):
        column, type_, problem = header[int(cell[1])], cell[3], cell[4]
        place = _row(cell[2], before), column
        if "UTF8" in problem:
            return _cell(*place, "not UTF-8; save the file as UTF-8")
        value = _INVALID.search(problem)
        found = f"`{value[1]}`" if value else problem
        wanted = f"is not of the declared type {_DECLARED.get(type_, type_)}"
        return _cell(*place, f"{found} {wanted}; a text for missing values goes into `null_values`")
    if row := _BAD_ROW.match(message):
        counts = f"row {_row(row[1], before)} has {row[3]} values, the header {row[2]}"
        cause = (
            "is a quote not closed" if re.search(r"[\r\n]", row[4]) else "was the file cut off, or a value not quoted"
        )
        return f"{counts}; {cause}? `{' '.join(row[4][:200].splitlines())}`"
    if "straddling" in message:
        return f"row {rows + 2} is millions of characters long; line ends are missing, or a quote is not closed"
    return message


def _row(found: str | None, before: int) -> int | None:
    return None if found is None else int(found) + before


def _cell(row: int | None, column: str, problem: str) -> str:
    return f"row {row} (the header is row 1), column `{column}`: {problem}"


def _text(stream: Any) -> Iterator[str]:
    """The stream's lines; what is not UTF-8 shows as a replacement character."""
    blocks = io.BufferedReader(_Blocks(stream), 1 << 16)
    with io.TextIOWrapper(blocks, "utf-8-sig", "replace", newline="") as text:
        yield from text


class _Blocks(io.RawIOBase):
    """A stream that can only `read`, as a file of the standard library; closing it leaves the stream open."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
