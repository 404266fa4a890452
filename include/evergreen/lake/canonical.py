"""Parquet whose bytes follow from its rows alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.lake.schema import ROW_GROUP, WRITER

if TYPE_CHECKING:
    import pyarrow as pa


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write ordered batches to `path`, synced, and return the rows; however they were cut, the bytes are the same.

    Every row group but the last has ROW_GROUP rows in one piece, since Parquet's pages follow the pieces given.
    """
    import pyarrow.parquet as pq

    rows = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema, **WRITER) as writer:
        for group in _groups(batches, schema):
            writer.write_table(group, row_group_size=ROW_GROUP)
            rows += group.num_rows
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    return rows


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa

    held = schema.empty_table()
    for batch in batches:
        held = pa.concat_tables([held, pa.Table.from_batches([batch]).cast(schema)])
        while held.num_rows >= ROW_GROUP:
            yield held.slice(0, ROW_GROUP).combine_chunks()
            held = held.slice(ROW_GROUP)
    if held.num_rows:
        yield held.combine_chunks()
