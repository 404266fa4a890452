"""Typed columns of a file in the declared types: only casts that lose nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema, before: int) -> pa.RecordBatch:
    """The declared columns in their types; `before` is how many rows came earlier.

    Raises SourceError where a type has no lossless way to the declared one, or a value does not fit.
    """
    import pyarrow as pa

    arrays = []
    for field in schema:
        array = batch.column(field.name)
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        if array.type != field.type:
            if not _akin(array.type, field.type):
                raise SourceError(f"column `{field.name}` is {array.type} in the file, and declared as {field.type}")
            try:
                array = array.cast(field.type)
            except pa.ArrowInvalid as error:
                raise SourceError(
                    f"rows {before + 1} to {before + batch.num_rows}, column `{field.name}`: {error}"
                ) from None
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _akin(found: pa.DataType, declared: pa.DataType) -> bool:
    import pyarrow.types as types

    def is_text(type_: pa.DataType) -> bool:
        return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))

    def is_number(type_: pa.DataType) -> bool:
        return bool(types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_))

    return (
        bool(types.is_null(found))
        or (is_text(found) and is_text(declared))
        or (is_number(found) and is_number(declared))
        or (types.is_timestamp(found) and types.is_timestamp(declared))
        or (types.is_date(found) and (types.is_date(declared) or types.is_timestamp(declared)))
    )
