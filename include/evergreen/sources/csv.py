"""CSV files: globs of drops, known by their content, read as a stream with the declared types."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from evergreen.sources import csv_checks as checks
from evergreen.sources.base import Request
from evergreen.sources.csv_header import check_header, read_header
from evergreen.sources.files import Drop, FileSource, Refused

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

BLOCK = 2 << 20  # bytes that are parsed at a time; twice as many cost 100 MB of memory and save no time
CODECS = {".gz": "gzip", ".zst": "zstd"}


class Csv(FileSource):
    """Text files with one header row, in UTF-8. Columns are found by name: their order is free, undeclared ones are
    ignored. Files that end in .gz or .zst are unpacked while they are read.
    """

    end: ClassVar[str] = "last line end"

    delimiter: str = Field(",", min_length=1, max_length=1, description="The character between two values.")
    null_values: tuple[str, ...] = Field(("",), description="Texts that mean a missing value, in every column.")

    def drop(self, request: Request, name: str) -> CsvFile:
        """The file of that name, unread."""
        return CsvFile(name, request.root / name, request.schema, options=self)


@dataclass(kw_only=True)
class CsvFile(Drop):
    """One file as a delivery."""

    options: Csv

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in the declared schema; SourceError names the file, the row, the column and the value."""
        import pyarrow as pa

        rows = 0
        with self.reading() as stream:
            header = read_header(self._unpacked(stream), self.options.delimiter)
            self._ignored(check_header(header, self.schema.names, self.options.delimiter))
            try:
                with closing(self._parsed()) as parsed:
                    for batch in parsed:
                        yield checks.convert(batch, self.schema, rows)
                        rows += batch.num_rows
            except pa.ArrowInvalid as error:
                self._reread(stream).check_text()
                raise Refused(checks.explain(self._with_row(error), header, rows)) from None
            self._check(stream, self._reread(stream), rows)

    def head(self, rows: int) -> pa.Table | None:
        """The rows of the file's first block, all columns; None of a file without rows.

        Types are inferred, but what is declared as text stays as it is written: `07030` is no number there.
        """
        import pyarrow as pa
        from pyarrow import csv

        convert = csv.ConvertOptions(
            column_types={field.name: pa.binary() for field in self.schema if pa.types.is_string(field.type)},
            null_values=self.options.null_values,
            strings_can_be_null=True,
        )
        with self.reading() as stream:
            header = read_header(self._unpacked(stream), self.options.delimiter)
            try:
                with (
                    self._native() as native,
                    csv.open_csv(native, self._read_options(threads=False), self._parse_options(), convert) as reader,
                ):
                    return pa.Table.from_batches([_decoded(reader.read_next_batch())])
            except StopIteration:
                return None
            except pa.ArrowInvalid as error:
                if "Empty CSV file" in str(error):
                    return None
                raise Refused(checks.explain(str(error), header)) from None

    def is_whole(self, stream: BufferedReader) -> bool:
        """Whether the text ends with a line end; a packed one has to be unpacked to know."""
        if self.path.suffix not in CODECS:
            stream.seek(-min(1, stream.seek(0, 2)), 2)
            return stream.read(1) in (b"\n", b"\r")
        try:
            return self._reread(stream).ended
        except OSError:
            return False

    def _reread(self, stream: BufferedReader) -> checks.Counts:
        """Read the file once more to its end, for what Arrow does not tell, and for the receipt.

        Not beside Arrow, through a file of Python's: Arrow reads ahead in threads of its own, which go on after an
        error, and a process that ends meanwhile hangs or aborts.
        """
        content, counts, size = hashlib.sha256(), checks.Counts(), 0

        def take(data: bytes) -> None:
            nonlocal size
            content.update(data)
            size += len(data)

        stream.seek(0)
        raw = checks.Tap(stream, take)
        unpacked = self._unpacked(raw)
        while data := bytes(unpacked.read(BLOCK)):
            counts.add(data)
        while raw.read(BLOCK):  # what may follow a compressed stream belongs to the content too
            pass
        self.has_read(content.hexdigest(), size)
        return counts

    def _check(self, stream: BufferedReader, counts: checks.Counts, rows: int) -> None:
        counts.check_text()
        if not counts.plain(rows):
            stream.seek(0)
            checks.check_quotes(self._unpacked(stream), self.options.delimiter, rows, BLOCK)
        if not counts.ended:
            log.warning(
                "%s: its last line has no line end; if the file was cut short, the last value is too", self.origin
            )

    def _parsed(self) -> Generator[pa.RecordBatch, None, None]:
        import pyarrow as pa

        with self._native() as native:
            try:
                reader = self._reader(native)
            except pa.ArrowInvalid as error:
                if "Empty CSV file" in str(error):  # a header without a line end, and nothing else
                    return
                raise
            with reader:
                yield from reader

    def _reader(self, native: pa.NativeFile, threads: bool = True) -> Any:
        import pyarrow as pa
        from pyarrow import csv

        texts = {field.name: pa.string() for field in self.schema if pa.types.is_timestamp(field.type)}
        return csv.open_csv(
            native,
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
            with self._native() as native, self._reader(native, threads=False) as reader:
                for _ in reader:
                    pass
        except (pa.ArrowInvalid, OSError) as again:
            return str(again)
        return str(error)

    def _native(self) -> pa.NativeFile:
        """The unpacked file as Arrow's own."""
        import pyarrow as pa

        file = pa.OSFile(str(self.path))
        codec = CODECS.get(self.path.suffix)
        return pa.CompressedInputStream(file, codec) if codec else file

    def _unpacked(self, stream: Any) -> Any:
        import pyarrow as pa

        codec = CODECS.get(self.path.suffix)
        return pa.CompressedInputStream(checks.Tap(stream), codec) if codec else stream

    def _ignored(self, columns: list[str]) -> None:
        if columns:
            log.info("%s: columns that params.yaml does not declare are ignored: %s", self.origin, ", ".join(columns))


def _decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with bytes as text where all of a column's are."""
    import pyarrow as pa

    arrays = []
    for array in batch.columns:
        try:
            arrays.append(array.cast(pa.string()) if pa.types.is_binary(array.type) else array)
        except pa.ArrowInvalid:
            arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
