"""CSV files: globs of drops, known by their content, read as a stream with the declared types."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from evergreen.sources import csv_checks as checks
from evergreen.sources.base import Request
from evergreen.sources.csv_dates import DESCRIPTION, DateFormats, check_formats
from evergreen.sources.csv_reader import BLOCK, CODECS, CsvReader, Opener
from evergreen.sources.files import Drop, FileSource

if TYPE_CHECKING:
    import pyarrow as pa


class Csv(FileSource):
    """Text files with one header row, in UTF-8. Columns are found by name: their order is free, undeclared ones are
    ignored. Files that end in .gz or .zst are unpacked while they are read.
    """

    end: ClassVar[str] = "last line end"

    delimiter: str = Field(",", min_length=1, max_length=1, description="The character between two values.")
    null_values: tuple[str, ...] = Field(("",), description="Texts that mean a missing value, in every column.")
    date_formats: DateFormats = Field({}, description=DESCRIPTION)

    def drop(self, request: Request, name: str) -> CsvFile:
        """The file of that name, unread."""
        check_formats(self.date_formats, request)
        return CsvFile(name, request.root / name, request.schema, options=self)


@dataclass(kw_only=True)
class CsvFile(Drop):
    """One file as a delivery."""

    options: Csv

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in the declared schema; SourceError names the file, the row, the column and the value."""
        with self.reading() as stream:
            yield from self._reader(stream).batches()

    def head(self, rows: int) -> pa.Table | None:
        """The rows of the file's first block, all columns, types inferred; None of a file without rows."""
        with self.reading() as stream:
            return self._reader(stream).head()

    def is_whole(self, stream: BufferedReader) -> bool:
        """Whether the text ends with a line end; a packed one has to be unpacked to know."""
        if self.path.suffix not in CODECS:
            stream.seek(-min(1, stream.seek(0, 2)), 2)
            return stream.read(1) in (b"\n", b"\r")
        try:
            return FileText(self.path, stream, self.has_read).counts().ended
        except OSError:
            return False

    def _reader(self, stream: BufferedReader) -> CsvReader:
        text = FileText(self.path, stream, self.has_read)
        options = self.options
        return CsvReader(self.origin, text, self.schema, options.delimiter, options.null_values, options.date_formats)


@dataclass
class FileText:
    """The text of a file on disk; `file` is the open file, and `has_read` hears its SHA-256 and size."""

    path: Path
    file: BufferedReader
    has_read: Callable[[str, int], None]
    _counting: Future[checks.Counts] | None = None
    _abandoned: bool = False

    @contextmanager
    def stream(self) -> Iterator[Any]:
        """The unpacked text for Python."""
        self.file.seek(0)
        yield self._unpacked(self.file)

    def parts(self, header: Sequence[str], delimiter: str) -> Generator[Opener, None, None]:
        """The whole file as one: Arrow opens and unpacks it by itself, and a thread beside it counts."""
        with ThreadPoolExecutor(1, "csv-counts") as thread:
            self._counting = thread.submit(self._count)
            try:
                yield self._native
            except GeneratorExit:
                self._abandoned = True
                raise

    def _native(self) -> pa.NativeFile:
        import pyarrow as pa

        file = pa.OSFile(str(self.path))
        codec = CODECS.get(self.path.suffix)
        return pa.CompressedInputStream(file, codec) if codec else file

    def counts(self) -> checks.Counts:
        """What a second reading of the file, to its end, has found."""
        return self._counting.result() if self._counting else self._count()

    def _count(self) -> checks.Counts:
        """Read the file for what Arrow does not tell, and for the receipt; see `Text.parts` why Arrow reads another."""
        content, counts, size = hashlib.sha256(), checks.Counts(), 0

        def take(data: bytes) -> None:
            nonlocal size
            content.update(data)
            size += len(data)

        self.file.seek(0)
        raw = checks.Tap(self.file, take)
        unpacked = self._unpacked(raw)
        while not self._abandoned and (data := bytes(unpacked.read(BLOCK))):
            counts.add(data)
        while not self._abandoned and raw.read(BLOCK):  # what may follow a compressed stream belongs to the content too
            pass
        self.has_read(content.hexdigest(), size)
        return counts

    def _unpacked(self, stream: Any) -> Any:
        import pyarrow as pa

        codec = CODECS.get(self.path.suffix)
        return pa.CompressedInputStream(checks.Tap(stream), codec) if codec else stream
