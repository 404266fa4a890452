"""Raw files: a delivery as typed Parquet of a fixed form, so that the same rows give the same bytes."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import accumulate, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen import faults
from evergreen.errors import LakeError
from evergreen.files import naming, publish, remove
from evergreen.lake.manifests import DataFile, Manifest, SideFile, mark_newest, unnamed
from evergreen.lake.rejects import Reject, RejectWriter
from evergreen.lake.schema import FILE_ROWS, ROW_GROUP, WRITER
from evergreen.paths import file_sha256

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

# Raw files are read whole: a fifth of the time to write them would go into statistics that nobody asks for.
RAW_WRITER = {**WRITER, "write_statistics": False}
GROUP_BYTES = 64 << 20  # of content in a row group: two of them are in memory, whatever the width of rows


def raw_folder(lake: Path, table: str) -> Path:
    """The folder of a table's raw files and of their ledger."""
    return lake / "raw" / table


def find_orphans(lake: Path, table: str, manifests: Iterable[Manifest]) -> list[Path]:
    """What no manifest names, which a killed run left.

    Raises LakeError where such a file was validated once: then its manifest was lost.
    """
    folder = raw_folder(lake, table)
    left = unnamed(lake, folder, manifests)
    for path in left:
        if (lake / "validation" / table / f"{path.stem}.json").exists():
            raise LakeError(
                f"{path} was committed and validated, but no manifest in {folder / 'ledger'} names it any more: "
                "restore the missing one from a backup"
            )
    return left


def remove_orphans(lake: Path, table: str, manifests: Sequence[Manifest]) -> int:
    """Delete the orphans, all or, where one was validated once, none; the caller holds the table's ingest lock."""
    left = find_orphans(lake, table, manifests)
    mark_newest(raw_folder(lake, table), len(manifests))
    for path in left:
        remove(path)
    return len(left)


class RawWriter:
    """Writes one delivery as temporary files, then gives them their names; not yet part of the lake.

    Row groups have exactly ROW_GROUP rows and files FILE_ROWS, or less where rows are wide (GROUP_BYTES), however the
    source cut its batches. Encoding runs in a thread beside the source's parsing; about two row groups are in memory,
    the one that is encoded and the next.
    """

    def __init__(self, lake: Path, table: str, schema: pa.Schema) -> None:
        self._lake, self._table, self._schema = lake, table, schema
        self._folder = raw_folder(lake, table)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._parts: list[tuple[Path, int]] = []
        self._writer: Any = None
        self._rejects = RejectWriter(self._folder / ".rejects.part")

    @property
    def rows(self) -> int:
        """Rows written so far."""
        return sum(rows for _, rows in self._parts)

    @property
    def rejects(self) -> int:
        """Records that cannot be rows, kept beside them."""
        return self._rejects.rows

    def write(self, batches: Iterator[pa.RecordBatch | Reject]) -> int:
        """Write all rows and return their number; what `batches` raises passes through."""
        try:
            with ThreadPoolExecutor(1, "raw-writer") as thread:
                pending: Future[None] | None = None
                for group in _row_groups(self._rows_of(batches)):
                    if pending is not None:
                        pending.result()
                    pending = thread.submit(self._append, group)
                if pending is not None:
                    pending.result()
        except BaseException:
            self._abandon()
            raise
        self._close()
        self._rejects.close()  # not before: closed, it would begin its file anew
        return self.rows

    def place(self, origin: str, sha256: str, seq: int, size: int | None = None) -> list[DataFile]:
        """Name the files after the origin's content and make them durable; one file at least, be it empty.

        Content that came before, and comes back, is also named after `seq`, the manifest that will hold it. Raises
        LakeError rather than replace a file.
        """
        if not self._parts:
            self._append([])
            self._close()
        files = []
        stem = sha256[:16]
        if any(self._folder.glob(f"{stem}-?????.parquet")):  # orphans are gone by now: they belong to a delivery
            stem += f"-{seq}"
        for number, (temporary, rows) in enumerate(self._parts):
            path = self._folder / f"{stem}-{number:05d}.parquet"
            if path.exists():
                raise LakeError(f"{path} is there already, for another origin than {origin}; raw files never change")
            rejects = self._place_rejects(stem) if number == 0 and self.rejects else None
            publish(temporary, path)
            faults.point("ingest.placed")
            files.append(
                DataFile(
                    path=path.relative_to(self._lake).as_posix(),
                    sha256=file_sha256(path),
                    rows=rows,
                    bytes=path.stat().st_size,
                    origin=origin,
                    origin_sha256=sha256,
                    origin_bytes=size,
                    rejects=rejects,
                )
            )
        return files

    def discard(self) -> None:
        """Delete the temporary files."""
        for temporary in (*(path for path, _ in self._parts), self._rejects.path):
            temporary.unlink(missing_ok=True)

    def _rows_of(self, batches: Iterator[pa.RecordBatch | Reject]) -> Iterator[pa.RecordBatch]:
        for item in batches:
            if isinstance(item, Reject):
                self._rejects.add(item)
            else:
                yield item

    def _place_rejects(self, stem: str) -> SideFile:
        path = self._folder / f"{stem}.rejects.parquet"
        publish(self._rejects.path, path)
        faults.point("ingest.rejects")
        return SideFile(
            path=path.relative_to(self._lake).as_posix(), sha256=file_sha256(path), rows=self.rejects,
            bytes=path.stat().st_size,
        )  # fmt: skip

    def _append(self, batches: list[pa.RecordBatch]) -> None:
        """Write a row group and empty its list, so that nobody else holds the batches while it is encoded."""
        import pyarrow.parquet as pq

        group = _group(batches, self._schema)
        if self._writer is None or self._parts[-1][1] + group.num_rows > FILE_ROWS:
            self._close()
            temporary = self._folder / f".{len(self._parts):05d}.part"
            self._writer = pq.ParquetWriter(temporary, self._schema, **RAW_WRITER)
            self._parts.append((temporary, 0))
        with naming(self._parts[-1][0]):
            self._writer.write_table(group, row_group_size=ROW_GROUP)
        temporary, rows = self._parts[-1]
        self._parts[-1] = temporary, rows + group.num_rows
        if self.rows > ROW_GROUP:
            log.info("%s: %d rows written", self._table, self.rows)
        faults.point("ingest.row_group")

    def _abandon(self) -> None:
        """Let go of the files, which nobody will read: what is raised already says more than that they fail, too."""
        import pyarrow as pa

        with suppress(OSError, pa.ArrowException):
            self._rejects.abandon()
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException):
                self._writer.close()
            self._writer = None

    def _close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with naming(self._parts[-1][0]):
                writer.close()


def _row_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """The rows in lists of exactly ROW_GROUP rows, or up to the one that fills GROUP_BYTES; the last is shorter."""
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        while batch.num_rows:
            rows, taken = _fitting(batch.slice(0, ROW_GROUP - count), GROUP_BYTES - size)
            held.append(batch.slice(0, rows))
            batch, count, size = batch.slice(rows), count + rows, size + taken
            if count == ROW_GROUP or size >= GROUP_BYTES:
                full, held, count, size = held, [], 0, 0
                yield full
    if count:
        yield held


def _fitting(batch: pa.RecordBatch, room: int) -> tuple[int, int]:
    """How many rows there are up to the one that fills `room` bytes, and their size: 8 a value, and a text's length.

    The size is that of the content and not of the buffers, which depends on how the source cut its batches.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    fixed = 8 * batch.num_columns
    lengths = [pc.binary_length(column) for column in batch.columns if pa.types.is_string(column.type)]
    size = fixed * batch.num_rows + sum(pc.sum(one).as_py() or 0 for one in lengths)
    if size < room:
        return batch.num_rows, size
    # In Python: this is for one batch of a group, and a number that Arrow has to take from it imports pandas, 55 MB.
    each = zip(*(one.to_pylist() for one in lengths), strict=True) if lengths else repeat((), batch.num_rows)
    upto = list(accumulate(fixed + sum(filter(None, texts)) for texts in each))
    rows = min(batch.num_rows, bisect_left(upto, room) + 1)
    return rows, upto[rows - 1]


def _group(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """One table in one piece, with null for NaN: a missing number is the same thing to every engine.

    Column by column, each freed from the batches when it is done: so a row group is not twice in memory.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = pa.Table.from_batches(batches, schema).columns
    batches.clear()
    for index, field in enumerate(schema):
        column = pa.Table.from_arrays([columns[index]], schema=pa.schema([field])).combine_chunks().column(0)
        if pa.types.is_floating(field.type):
            isnan = pc.is_nan(column)
            if pc.any(isnan).as_py():
                column = pc.if_else(isnan, pa.NA, column)
        columns[index] = column
    return pa.Table.from_arrays(columns, schema=schema)
