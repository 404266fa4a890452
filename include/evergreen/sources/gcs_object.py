"""One object as a delivery: CSV, JSON lines or Parquet, whatever it is packed in."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from evergreen.errors import SourceError
from evergreen.sources.base import Receipt
from evergreen.sources.csv_reader import CODECS, CsvReader
from evergreen.sources.files import Refused
from evergreen.sources.gcs_stream import Download, Object
from evergreen.sources.gcs_text import StreamText, to_the_end, unpacked
from evergreen.sources.json_lines import read_lines
from evergreen.sources.json_rows import Rows, flat, quoted, sampled
from evergreen.sources.parquet import read_head, read_rows
from evergreen.sources.spool import spooled
from evergreen.sources.values import Reading

if TYPE_CHECKING:
    import pyarrow as pa
    from google.cloud.storage import Client

    from evergreen.sources.gcs import Gcs

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
BLOCK = 1 << 20  # bytes of a Parquet object that are written to disk at a time


@dataclass
class GcsFile:
    """One generation of an object; `sha256` names its content."""

    wanted: Object
    sha256: str
    options: Gcs
    schema: pa.Schema
    client: Client

    @property
    def origin(self) -> str:
        return self.wanted.origin

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in the declared schema, the last ones after the object's CRC32C was found right."""
        with self._refusing():
            yield from {"csv": self._csv, "jsonl": self._json, "parquet": self._parquet}[self._format()]()

    def receipt(self) -> Receipt:
        """What the listing said of the content, which the bytes read were checked against."""
        return Receipt(self.sha256, self.wanted.size)

    def head(self, rows: int) -> pa.Table | None:
        """About the first rows, all columns; None of an object without any."""
        with self._refusing():
            kind = self._format()
            if kind == "parquet":
                with self._on_disk() as (file, place):
                    return read_head(file, place, rows)
            with self._download() as stored:
                if kind == "csv":
                    return self._reader(stored).head()
                records = next(read_lines(unpacked(stored, self._suffix)), (1, [], 0))[1][:rows]
                return sampled([flat(record) for record in records], self._paths(), self._reading) if records else None

    def _csv(self) -> Iterator[pa.RecordBatch]:
        with self._download() as stored:
            yield from self._reader(stored).batches()

    def _json(self) -> Iterator[pa.RecordBatch]:
        rows = Rows(self.schema, self._paths(), self._reading)
        with self._download() as stored:
            for line, records, size in read_lines(unpacked(stored, self._suffix)):
                try:
                    yield from (batch for batch, _ in rows.convert(records, size))
                except SourceError as error:
                    raise Refused(f"from line {line} on, {error}") from None
            to_the_end(stored)
        if missing := rows.absent(self.options.optional):
            raise Refused(missing)

    def _parquet(self) -> Iterator[pa.RecordBatch]:
        with self._on_disk() as (file, place):
            yield from read_rows(self.origin, file, place, self.schema)

    @contextmanager
    def _on_disk(self) -> Iterator[tuple[IO[bytes], str]]:
        """The object in a temporary file, and a place where it can be opened.

        A Parquet file is read from its end, which is also where the object's checksum is known.
        """
        with spooled() as file:
            for data in self._blocks():
                file.write(data)
            file.flush()
            with _readable():
                yield file, f"/dev/fd/{file.fileno()}"

    def _blocks(self) -> Iterator[bytes]:
        with _readable(), self._download() as stored:
            while data := stored.read(BLOCK):
                yield data

    def _download(self) -> Download:
        options = self.options
        return Download(
            self.client, self.wanted, options.timeout.total_seconds(), options.give_up_after.total_seconds()
        )

    def _reader(self, stored: Download) -> CsvReader:
        text, options = StreamText(stored, self._suffix), self.options
        return CsvReader(self.origin, text, self.schema, options.delimiter, options.null_values, options.date_formats)

    def _format(self) -> str:
        name = PurePosixPath(self.wanted.name)
        suffix = PurePosixPath(name.stem).suffix if name.suffix in CODECS else name.suffix
        found = self.options.format or FORMATS.get(suffix)
        if found is None:
            raise Refused(f"`{suffix or name}` does not say what is in it; set `format`")
        return found

    @property
    def _suffix(self) -> str:
        """How the bytes are packed: .gz, .zst or nothing."""
        found = PurePosixPath(self.wanted.name).suffix
        return ".gz" if self.wanted.encoding == "gzip" else found if found in CODECS else ""

    def _paths(self) -> dict[str, str]:
        return {name: self.options.fields.get(name, quoted(name)) for name in self.schema.names}

    @property
    def _reading(self) -> Reading:
        return Reading(frozenset(self.options.null_values), self.options.epoch)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Whatever is wrong becomes a SourceError that names the object."""
        try:
            with _readable():
                yield
        except (Refused, SourceError) as error:
            raise SourceError(f"{self.origin}: {error}") from None


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError) as error:
        raise Refused(f"cannot be read: {error}") from None
