"""A hash of typed rows that does not depend on how they were cut into batches."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


class Content:
    """Grows batch by batch; every column is hashed on its own: which values are there, lengths of text, bytes."""

    def __init__(self, schema: pa.Schema) -> None:
        self._parts = [[hashlib.sha256() for _ in range(3)] for _ in schema]

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the next rows in."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.types as types

        for column, (there, lengths, data) in zip(batch.columns, self._parts, strict=True):
            there.update(_bytes(pc.is_valid(column).cast(pa.uint8())))
            if types.is_string(column.type):
                texts = pc.fill_null(column, "")
                lengths.update(_bytes(pc.binary_length(texts)))
                offsets = memoryview(texts.buffers()[1]).cast("i")[texts.offset : texts.offset + len(texts) + 1]
                data.update(memoryview(texts.buffers()[2] or b"")[offsets[0] : offsets[-1]])
            else:
                data.update(_bytes(pc.fill_null(column.cast(_plain(column.type)), 0)))

    def hexdigest(self) -> str:
        """The hash of all rows so far."""
        return hashlib.sha256(b"".join(one.digest() for parts in self._parts for one in parts)).hexdigest()


def _plain(type_: pa.DataType) -> pa.DataType:
    """A type of whole bytes for one that is not."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_boolean(type_):
        return pa.uint8()
    return pa.int64() if types.is_timestamp(type_) else pa.int32() if types.is_date32(type_) else type_


def _bytes(array: pa.Array) -> Any:
    """The values of a column without nulls."""
    width = array.type.bit_width // 8
    return memoryview(array.buffers()[1] or b"")[array.offset * width : (array.offset + len(array)) * width]
