"""CSV text to typed batches, wherever the text comes from: a file on disk, or a stream that is downloaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from evergreen.sources import csv_checks as checks
from evergreen.sources import csv_dates as dates
from evergreen.sources.csv_header import check_header, read_header
from evergreen.sources.files import Refused

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

BLOCK = 1 << 20  # bytes that are parsed at a time; twice as many cost 80 MB of memory and save no time
CODECS = {".gz": "gzip", ".zst": "zstd"}
Opener = Callable[[], "pa.NativeFile"]  # from the start, each time


class Text(Protocol):
    """One CSV text, unpacked. It may be read again, which for a stream costs another download."""

    def stream(self) -> AbstractContextManager[Any]:
        """The text from its start, for Python: something with `read`."""
        ...

    def parts(self, header: Sequence[str], delimiter: str) -> Generator[Opener, None, None]:
        """The text from its start, in parts of whole rows that each begin with the header.

        Each is a file of Arrow's own: Arrow reads ahead in threads that go on after an error, and through a file of
        Python's, a process that ends meanwhile hangs or aborts.
        """
        ...

    def counts(self) -> checks.Counts:
        """What was counted in the text, once its parts were read to the end, or as far as they could be."""
        ...


@dataclass(frozen=True)
class CsvReader:
    """Reads one text as the declared columns. What is wrong with it is Refused, or the text's own OSError."""

    origin: str
    text: Text
    schema: pa.Schema
    delimiter: str
    null_values: tuple[str, ...]
    date_formats: Mapping[str, str] = field(default_factory=dict)

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in the declared schema; Refused names the row, the column and the value."""
        import pyarrow as pa

        rows = 0
        header = self._header()
        if ignored := check_header(header, self.schema.names, self.delimiter):
            log.info("%s: columns that params.yaml does not declare are ignored: %s", self.origin, ", ".join(ignored))
        with closing(self.text.parts(header, self.delimiter)) as parts:
            for part in parts:
                before = rows
                try:
                    with closing(self._parsed(part)) as parsed:
                        for batch in parsed:
                            yield checks.convert(batch, self.schema, rows, self.date_formats)
                            rows += batch.num_rows
                except pa.ArrowInvalid as error:
                    self.text.counts().check_text()
                    raise Refused(checks.explain(self._with_row(part, error), header, rows, before)) from None
        self._check(self.text.counts(), rows)

    def head(self) -> pa.Table | None:
        """The rows of the first block, all columns; None of a text without rows.

        Types are inferred, but what is declared as text stays as it is written: `07030` is no number there.
        """
        import pyarrow as pa
        from pyarrow import csv

        convert = csv.ConvertOptions(
            column_types={
                one.name: pa.binary()
                for one in self.schema
                if pa.types.is_string(one.type) or one.name in self.date_formats
            },
            null_values=self.null_values,
            strings_can_be_null=True,
        )
        header = self._header()
        with closing(self.text.parts(header, self.delimiter)) as parts:
            try:
                with (
                    next(parts)() as native,
                    # With one thread, by which Arrow knows a bad row's number.
                    csv.open_csv(native, self._read_options(False), self._parse_options(), convert) as reader,
                ):
                    return self._dated(pa.Table.from_batches([_decoded(reader.read_next_batch())]))
            except StopIteration:
                return None
            except pa.ArrowInvalid as error:
                if "Empty CSV file" in str(error):
                    return None
                raise Refused(checks.explain(str(error), header)) from None

    def _dated(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa

        for name, pattern in self.date_formats.items():
            for index in table.schema.get_all_field_indices(name):
                if pa.types.is_string(table.column(index).type):
                    values = dates.sampled(table.column(index), self.schema.field(name), pattern)
                    table = table.set_column(index, name, values)
        return table

    def _header(self) -> list[str]:
        with self.text.stream() as stream:
            return read_header(stream, self.delimiter)

    def _check(self, counts: checks.Counts, rows: int) -> None:
        counts.check_text()
        if not counts.plain(rows):
            with self.text.stream() as stream:
                checks.check_quotes(stream, self.delimiter, rows, BLOCK)
        if not counts.ended:
            log.warning(
                "%s: its last line has no line end; if the file was cut short, the last value is too", self.origin
            )

    def _parsed(self, part: Opener) -> Generator[pa.RecordBatch, None, None]:
        import pyarrow as pa

        with part() as native:
            try:
                reader = self._open(native)
            except pa.ArrowInvalid as error:
                if "Empty CSV file" in str(error):  # a header without a line end, and nothing else
                    return
                raise
            with reader:
                yield from reader

    def _open(self, native: pa.NativeFile, threads: bool = True) -> Any:
        import pyarrow as pa
        from pyarrow import csv

        texts = {
            one.name: pa.string()
            for one in self.schema
            if pa.types.is_timestamp(one.type) or one.name in self.date_formats
        }
        return csv.open_csv(
            native,
            read_options=self._read_options(threads),
            parse_options=self._parse_options(),
            convert_options=csv.ConvertOptions(
                column_types={one.name: one.type for one in self.schema} | texts,
                include_columns=self.schema.names,
                null_values=self.null_values,
                strings_can_be_null=True,
            ),
        )

    def _read_options(self, threads: bool) -> Any:
        from pyarrow import csv

        return csv.ReadOptions(use_threads=threads, block_size=BLOCK)

    def _parse_options(self) -> Any:
        from pyarrow import csv

        return csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True)

    def _with_row(self, part: Opener, error: Exception) -> str:
        """The message with the row's number, which Arrow only knows when it reads with one thread."""
        import pyarrow as pa

        try:
            with part() as native, self._open(native, threads=False) as reader:
                for _ in reader:
                    pass
        except (pa.ArrowInvalid, OSError) as again:
            return str(again)
        return str(error)


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
