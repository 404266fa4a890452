"""Parquet files: globs of drops, known by their content, read batch by batch into the declared types."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator
from contextlib import contextmanager
from io import BufferedReader
from typing import IO, TYPE_CHECKING, Any, ClassVar

from evergreen.sources import parquet_casts as casts
from evergreen.sources.base import Request
from evergreen.sources.files import Drop, FileSource, Refused

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.sources.base import Fit

log = logging.getLogger(__name__)

BATCH_ROWS, BATCH_BYTES = 1 << 16, 4 << 20  # whichever is less
MARK, ENCRYPTED = b"PAR1", b"PARE"
LOCKED = "is encrypted, and there is no key to read it with; write it without encryption"
SMALLEST = 12  # bytes: two marks and the length of the footer


class Parquet(FileSource):
    """Parquet files. Columns are found by name: their order is free, undeclared ones are ignored. A column of another
    type is taken where no value changes by it: numbers of other widths, whole floats as integers, decimals and
    integers as floats that show the same digits, integers as text, timestamps of any unit and zone as UTC
    microseconds, dates as their midnight and back; a timestamp without a zone is UTC.
    """

    end: ClassVar[str] = "footer"

    def drop(self, request: Request, name: str) -> ParquetFile:
        """The file of that name, unread."""
        return ParquetFile(name, request.root / name, request.schema)

    @property
    def fit(self) -> Fit | None:
        """The cast of an ingest."""
        return casts.fit


class ParquetFile(Drop):
    """One file as a delivery."""

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in the declared schema; SourceError names the file and every column that does not fit."""
        with self.reading() as stream:
            yield from read_rows(self.origin, stream, str(self.path), self.schema)
            self.has_read(*_hash(stream))

    def head(self, rows: int) -> pa.Table | None:
        """About the first `rows` rows of every column but the nested ones, which nothing can declare."""
        with self.reading() as stream:
            return read_head(stream, str(self.path), rows)

    def is_whole(self, stream: BufferedReader) -> bool:
        """Whether the footer is there, which is written last."""
        return _ends(stream)[1] in (MARK, ENCRYPTED)


def read_rows(origin: str, stream: IO[bytes], place: str, schema: pa.Schema) -> Generator[pa.RecordBatch, None, None]:
    """The rows of an open file, which Arrow opens once more at `place`; what is wrong with it is Refused."""
    import pyarrow as pa

    with pa.OSFile(place) as native, _explained():
        file = _open(stream, native)
        if ignored := casts.check_schema(file.schema_arrow, schema):
            log.info("%s: columns that params.yaml does not declare are ignored: %s", origin, ", ".join(ignored))
        before = 0
        for batch in _read(file, schema.names):
            yield casts.convert(batch, schema, before)
            before += batch.num_rows


def read_head(stream: IO[bytes], place: str, rows: int) -> pa.Table | None:
    """About the first `rows` rows of an open file, as above."""
    import pyarrow as pa

    with pa.OSFile(place) as native, _explained():
        file = _open(stream, native)
        names = [field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)]
        parts: list[pa.RecordBatch] = []
        for batch in _read(file, names):
            flat = [place for place, field in enumerate(batch.schema) if not pa.types.is_nested(field.type)]
            parts.append(casts.plain(batch.select(flat)))  # by place: a name may be there twice
            if sum(part.num_rows for part in parts) >= rows:
                break
    return pa.Table.from_batches(parts).slice(0, rows) if parts else None


@contextmanager
def _explained() -> Generator[None, None, None]:
    """What Arrow finds wrong with a file is why it is refused."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if "decrypt" in str(error).lower():
            raise Refused(LOCKED) from None
        if isinstance(error, OSError):
            raise
        raise Refused(f"cannot be read: {error}") from None


def _open(stream: IO[bytes], native: pa.NativeFile) -> Any:
    """The file's reader; Refused with a reason that its first and last bytes give.

    It reads through Arrow's own file: with one of Python's, a process that ends early may hang.
    """
    import pyarrow.parquet as pq

    first, last = _ends(stream)
    if not first:
        raise Refused("is empty; a Parquet file without rows still has a schema")
    if ENCRYPTED in (first, last):
        raise Refused(LOCKED)
    if first != MARK:
        raise Refused(f"is not a Parquet file: it starts with {first!r}")
    if last != MARK:
        raise Refused("has no footer: it was cut off, or its writer has not finished; write it again")
    return pq.ParquetFile(
        native,
        buffer_size=1 << 20,  # of a column's chunk, which would come as a whole
        pre_buffer=False,
        coerce_int96_timestamp_unit="us",  # in nanoseconds the year 9999 would be another one
        page_checksum_verification=True,
    )


def _read(file: Any, names: list[str]) -> Generator[pa.RecordBatch, None, None]:
    """The file's batches, small enough for a row of all columns; a name with a dot may bring others, too.

    The columns' own sizes are not asked for: where one is encrypted, Arrow ends the process.
    """
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        rows = max(1, min(BATCH_ROWS, BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)))
        yield from file.iter_batches(rows, row_groups=[number], columns=names)


def _ends(stream: IO[bytes]) -> tuple[bytes, bytes]:
    size = stream.seek(0, 2)
    stream.seek(0)
    first = stream.read(4)
    if size < SMALLEST:
        return first, b""
    stream.seek(-4, 2)
    return first, stream.read(4)


def _hash(stream: BufferedReader) -> tuple[str, int]:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()
