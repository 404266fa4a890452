"""One object as a delivery: CSV, JSON lines or Parquet, whatever it is packed in."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from evergreen.errors import SourceError
from evergreen.sources.arrow_cast import cast_batch
from evergreen.sources.base import Receipt
from evergreen.sources.csv import CODECS, Csv, CsvFile
from evergreen.sources.csv_checks import Tap
from evergreen.sources.gcs_stream import Download, Object
from evergreen.sources.json_lines import read_lines
from evergreen.sources.json_rows import Rows, flat, quoted, sampled
from evergreen.sources.values import Reading

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from google.cloud.storage import Client

    from evergreen.sources.gcs import Gcs

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}
BATCH_ROWS = 65_536


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

    @property
    def suffix(self) -> str:
        """How the bytes are packed: .gz, .zst or nothing."""
        if self.wanted.encoding == "gzip":
            return ".gz"
        found = PurePosixPath(self.wanted.name).suffix
        return found if found in CODECS else ""

    def open(self, mode: str = "rb") -> Download:
        """A new download of this generation."""
        options = self.options
        return Download(
            self.client, self.wanted, options.timeout.total_seconds(), options.give_up_after.total_seconds()
        )

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in the declared schema, the last ones after the object's CRC32C was found right."""
        read = {"csv": self._csv, "jsonl": self._json, "parquet": self._parquet}[self._format()]
        yield from read()

    def receipt(self) -> Receipt:
        """What the listing said of the content, which the bytes read were checked against."""
        return Receipt(self.sha256, self.wanted.size)

    def first_rows(self, rows: int) -> pa.Table | None:
        """About the first rows, all columns; None of an object without any."""
        kind = self._format()
        if kind == "csv":
            return self._csv_file().first_block()
        try:
            if kind == "parquet":
                return self._first_of_parquet(rows)
            with self.open() as raw:
                records = next(read_lines(self._unpacked(raw)), (1, [], 0))[1][:rows]
            return sampled([flat(record) for record in records], self._paths(), self._reading) if records else None
        except OSError as error:
            raise self._refusal(f"cannot be read: {error}") from None

    def _format(self) -> str:
        name = PurePosixPath(self.wanted.name)
        suffix = PurePosixPath(name.stem).suffix if name.suffix in CODECS else name.suffix
        found = self.options.format or FORMATS.get(suffix)
        if found is None:
            raise self._refusal(f"`{suffix or name}` does not say what is in it; set `format`")
        return found

    def _csv_file(self) -> CsvFile:
        options = Csv(path=self.wanted.name, delimiter=self.options.delimiter, null_values=self.options.null_values)
        place = cast("Path", self)  # of which it asks for `open` and `suffix` alone
        return CsvFile(self.origin, place, "", options, self.schema)

    def _csv(self) -> Iterator[pa.RecordBatch]:
        yield from self._csv_file().batches()

    def _json(self) -> Iterator[pa.RecordBatch]:
        rows = Rows(self.schema, self._paths(), self._reading)
        try:
            with self.open() as raw:
                for line, records, size in read_lines(self._unpacked(raw)):
                    try:
                        yield from (batch for batch, _ in rows.convert(records, size))
                    except SourceError as error:
                        raise SourceError(f"from line {line} on, {error}") from None
                while raw.read(1 << 20):  # what may follow a packed stream belongs to the content too
                    pass
        except SourceError as error:
            raise self._refusal(str(error)) from None
        except (OSError, EOFError) as error:
            raise self._refusal(f"cannot be read: {error}") from None
        if missing := rows.absent(self.options.optional):
            raise self._refusal(missing)

    def _parquet(self) -> Iterator[pa.RecordBatch]:
        """On disk first: a Parquet file is read from its end, which is also where its checksum is known."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        before = 0
        try:
            with self._spooled() as file, pq.ParquetFile(file) as parquet:
                names = parquet.schema_arrow.names
                if missing := [name for name in self.schema.names if name not in names]:
                    raise self._refusal(f"lacks the declared columns {', '.join(missing)}. Found: {', '.join(names)}")
                for batch in parquet.iter_batches(BATCH_ROWS, columns=self.schema.names):
                    try:
                        yield cast_batch(batch, self.schema, before)
                    except SourceError as error:
                        raise self._refusal(str(error)) from None
                    before += batch.num_rows
        except (OSError, pa.ArrowInvalid) as error:
            raise self._refusal(f"cannot be read: {error}") from None

    def _first_of_parquet(self, rows: int) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self._spooled() as file, pq.ParquetFile(file) as parquet:
            batch = next(parquet.iter_batches(rows), None)
            return parquet.schema_arrow.empty_table() if batch is None else pa.Table.from_batches([batch])

    @contextmanager
    def _spooled(self) -> Iterator[Any]:
        with tempfile.TemporaryFile() as file, self.open() as stream:
            shutil.copyfileobj(stream, file, 1 << 20)
            file.seek(0)
            yield file

    def _unpacked(self, raw: Download) -> Any:
        import pyarrow as pa

        return pa.CompressedInputStream(Tap(raw), CODECS[self.suffix]) if self.suffix else raw

    def _paths(self) -> dict[str, str]:
        return {name: self.options.fields.get(name, quoted(name)) for name in self.schema.names}

    @property
    def _reading(self) -> Reading:
        return Reading(frozenset(self.options.null_values), self.options.epoch)

    def _refusal(self, reason: str) -> SourceError:
        return SourceError(f"{self.origin}: {reason}")
