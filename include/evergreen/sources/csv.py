"""CSV files: globs of drops, known by their content, read as a stream with the declared types."""

from __future__ import annotations

import glob
import hashlib
import logging
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from pydantic import Field

from evergreen.errors import SourceError
from evergreen.params.base import Section
from evergreen.paths import file_sha256
from evergreen.sources import csv_checks as checks
from evergreen.sources.base import Receipt, Request

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

BLOCK = 2 << 20  # bytes that are parsed at a time; twice as many cost 100 MB of memory and save no time
CODECS = {".gz": "gzip", ".zst": "zstd"}


class Csv(Section):
    """Files with one header row. Columns are found by name: their order is free, undeclared ones are ignored."""

    ordered: ClassVar[bool] = False

    path: str = Field(
        min_length=1,
        description="A path or glob, from the folder of params.yaml; `**` crosses folders. "
        "Files that end in .gz or .zst are unpacked while they are read.",
    )
    delimiter: str = Field(",", min_length=1, max_length=1, description="The character between two values.")
    null_values: tuple[str, ...] = Field(("",), description="Texts that mean a missing value, in every column.")

    def deliveries(self, request: Request) -> Iterator[CsvFile]:
        """The files whose content is new (`Request.is_new`), in the order of their names."""
        listed: set[str] = set()
        for name in self._names(request):
            sha256 = ""
            with suppress(OSError):  # reading will raise it again, and then this one file is refused
                sha256 = file_sha256(request.root / name)
            if sha256 not in listed and request.is_new(name, sha256):
                listed |= {sha256} - {""}
                yield CsvFile(name, request.root / name, sha256, self, request.schema)

    def sample(self, request: Request, rows: int) -> pa.Table | None:
        """The first block of each file in the order of their names until there are `rows` rows; types are inferred."""

        parts: list[pa.Table] = []
        for name in self._names(request):
            part = CsvFile(name, request.root / name, "", self, request.schema).first_block()
            parts += [part] if part is not None else []
            if sum(part.num_rows for part in parts) >= rows:
                break
        return _together(parts).slice(0, rows) if parts else None

    def _names(self, request: Request) -> list[str]:
        found = sorted(glob.glob(self.path, root_dir=request.root, recursive=True))
        names = [name for name in found if not (request.root / name).is_dir()]
        if not names:
            log.warning("%s: no file matches %s in %s", request.table, self.path, request.root)
        return names


@dataclass
class CsvFile:
    """One file as a delivery."""

    origin: str
    path: Path
    sha256: str  # when it was listed
    options: Csv
    schema: pa.Schema

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in the declared schema; SourceError names the file, the row, the column and the value."""
        import pyarrow as pa

        self._content, self._bytes = hashlib.sha256(), 0
        try:
            with self.path.open("rb") as stream:
                header = checks.read_header(self._unpacked(stream), self.options.delimiter)
                self._ignored(checks.check_header(header, self.schema.names))
                stream.seek(0)
                yield from self._rows(stream)
        except checks.Refused as error:
            raise self._refusal(str(error)) from None
        except pa.ArrowInvalid as error:
            raise self._refusal(checks.explain(self._with_row(error), header)) from None
        except (OSError, EOFError) as error:
            raise self._refusal(f"cannot be read: {error}") from None

    def first_block(self) -> pa.Table | None:
        """The rows of the file's first block, all columns, types inferred; None of a file without rows."""
        import pyarrow as pa
        from pyarrow import csv

        try:
            with self.path.open("rb") as stream:
                convert = csv.ConvertOptions(null_values=self.options.null_values, strings_can_be_null=True)
                with csv.open_csv(
                    self._unpacked(stream), self._read_options(), self._parse_options(), convert
                ) as reader:
                    return pa.Table.from_batches([reader.read_next_batch()])
        except StopIteration:
            return None
        except (pa.ArrowInvalid, OSError) as error:
            if "Empty CSV file" in str(error):
                return None
            raise self._refusal(f"cannot be read: {error}") from None

    def receipt(self) -> Receipt:
        """The content's hash, which must still be the one that the file had when it was listed."""
        if self._content.hexdigest() != self.sha256:
            raise self._refusal("changed while it was read; the next ingest tries it again")
        return Receipt(self.sha256, self._bytes)

    def _rows(self, stream: BinaryIO) -> Iterator[pa.RecordBatch]:
        raw, rows = checks.Tap(stream, self._take), 0
        counts = checks.Counts()
        with closing(self._parsed(checks.Tap(self._unpacked(raw), counts.add))) as parsed:
            for batch in parsed:
                yield checks.convert(batch, self.schema, rows)
                rows += batch.num_rows
        while raw.read(BLOCK):  # what may follow a compressed stream belongs to the content too
            pass
        if not counts.plain(rows):
            stream.seek(0)
            checks.check_quotes(self._unpacked(stream), self.options.delimiter, rows, BLOCK)
        if not counts.ended:
            log.warning(
                "%s: its last line has no line end; if the file was cut short, the last value is too", self.origin
            )

    def _parsed(self, stream: checks.Tap) -> Generator[pa.RecordBatch, None, None]:
        import pyarrow as pa

        try:
            reader = self._reader(stream)
        except pa.ArrowInvalid as error:
            if "Empty CSV file" in str(error):  # a header without a line end, and nothing else
                return
            raise
        with reader:
            yield from reader

    def _reader(self, stream: Any, threads: bool = True) -> Any:
        import pyarrow as pa
        from pyarrow import csv

        texts = {field.name: pa.string() for field in self.schema if pa.types.is_timestamp(field.type)}
        return csv.open_csv(
            stream,
            read_options=self._read_options(threads),
            parse_options=self._parse_options(),
            convert_options=csv.ConvertOptions(
                column_types={field.name: field.type for field in self.schema} | texts,
                include_columns=self.schema.names,
                null_values=self.options.null_values,
                strings_can_be_null=True,
            ),
        )

    def _read_options(self, threads: bool = True) -> Any:
        from pyarrow import csv

        return csv.ReadOptions(use_threads=threads, block_size=BLOCK)

    def _parse_options(self) -> Any:
        from pyarrow import csv

        return csv.ParseOptions(delimiter=self.options.delimiter, newlines_in_values=True)

    def _with_row(self, error: Exception) -> str:
        """The message with the row's number, which Arrow only knows when it reads with one thread."""
        import pyarrow as pa

        try:
            with self.path.open("rb") as stream, self._reader(self._unpacked(stream), threads=False) as reader:
                for _ in reader:
                    pass
        except (pa.ArrowInvalid, OSError) as again:
            return str(again)
        return str(error)

    def _unpacked(self, stream: Any) -> Any:
        import pyarrow as pa

        codec = CODECS.get(self.path.suffix)
        return pa.CompressedInputStream(checks.Tap(stream), codec) if codec else stream

    def _take(self, data: bytes) -> None:
        self._content.update(data)
        self._bytes += len(data)

    def _ignored(self, columns: list[str]) -> None:
        if columns:
            log.info("%s: columns that params.yaml does not declare are ignored: %s", self.origin, ", ".join(columns))

    def _refusal(self, reason: str) -> SourceError:
        return SourceError(f"{self.origin}: {reason}")


def _together(parts: list[pa.Table]) -> pa.Table:
    """The parts as one table; a column whose types do not go together is text."""
    import pyarrow as pa

    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        texts = [part.cast(pa.schema([(name, pa.string()) for name in part.schema.names])) for part in parts]
        return pa.concat_tables(texts, promote_options="permissive")
