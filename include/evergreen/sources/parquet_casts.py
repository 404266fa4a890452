"""Which column of a Parquet file fits which declared type, and the cast, which never changes a value."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from evergreen.sources.files import Refused

if TYPE_CHECKING:
    import pyarrow as pa

EXACT = 15  # decimal digits that every float64 keeps
_DECLARED = {  # Arrow's name: what params.yaml may say
    "double": "float64",
    "string": "string or category",
    "timestamp[us]": "timestamp",
    "date32[day]": "date",
}


def check_schema(found: pa.Schema, declared: pa.Schema) -> list[str]:
    """The columns beyond the declared ones; Refused with everything that does not fit, at once."""
    count, problems = Counter(found.names), []
    for field in declared:
        wanted = f"column `{field.name}`: expected {_DECLARED.get(str(field.type), str(field.type))}, "
        if not count[field.name]:
            problems.append(wanted + "the file lacks it")
        elif count[field.name] > 1:
            problems.append(wanted + f"the file has {count[field.name]} of that name")
        elif not _fits(found.field(field.name).type, field.type):
            problems.append(wanted + f"the file has {found.field(field.name).type}")
    if problems:
        columns = ", ".join(f"`{field.name}` {field.type}" for field in found)
        raise Refused(f"has another schema than params.yaml declares. {'; '.join(problems)}. Its columns: {columns}")
    return [name for name in found.names if name not in declared.names]


def convert(batch: pa.RecordBatch, schema: pa.Schema, before: int) -> pa.RecordBatch:
    """The batch in `schema`. `before` is how many rows of the file came earlier."""
    import pyarrow as pa

    arrays = []
    for field in schema:
        array = batch.column(field.name)
        try:
            arrays.append(_cast(array, field.type))
        except pa.ArrowInvalid:
            index = _first_bad(array, field.type)
            problem = f"{_shown(array[index])} cannot be {_DECLARED.get(str(field.type), str(field.type))} "
            raise Refused(
                f"row {before + index + 1} (the first is row 1), column `{field.name}`: {problem}"
                f"without a change ({_why(array.type, field.type)})"
            ) from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def fit(values: pa.ChunkedArray, declared: pa.DataType) -> pa.ChunkedArray:
    """The values in a declared type, null where a file is refused for them."""
    import pyarrow as pa

    array = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if not _fits(array.type, declared):
        return pa.chunked_array([pa.nulls(len(array), declared)])
    return pa.chunked_array(_cast_or_null(array, declared), declared)


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with dictionaries decoded, so that those of several files go together."""
    import pyarrow as pa

    arrays = [_decoded(array) for array in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _fits(found: pa.DataType, declared: pa.DataType) -> bool:
    """Whether values of the one type may be values of the other."""
    from pyarrow import types

    if types.is_dictionary(found):
        found = found.value_type
    if types.is_null(found):
        return True
    if types.is_int64(declared) or types.is_float64(declared):
        return bool(types.is_integer(found) or types.is_floating(found) or types.is_decimal(found))
    if types.is_string(declared):
        return _is_text(found) or bool(types.is_integer(found))
    if types.is_timestamp(declared):
        return bool(types.is_timestamp(found) or types.is_date(found))
    if types.is_date(declared):
        return bool(types.is_date(found) or (types.is_timestamp(found) and found.tz is None))
    return bool(found == declared)


def _cast(array: pa.Array, declared: pa.DataType) -> pa.Array:
    """The array in a type that it fits; ArrowInvalid where a value would change."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    array = _decoded(array)
    if types.is_floating(array.type) and types.is_integer(declared):  # how pandas writes integers with gaps
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if types.is_decimal(array.type) and types.is_floating(declared):
        return _floats(array)
    cast = array.cast(declared)
    if types.is_string(declared):
        cast.validate(full=True)  # Parquet's readers trust that text is UTF-8
    if types.is_date(declared) and types.is_timestamp(array.type) and not cast.cast(array.type).equals(array):
        raise pa.ArrowInvalid("a moment within a day")
    return cast


def _floats(array: pa.Array) -> pa.Array:
    """Decimals as the nearest floats, as the same text in a CSV file would be; Arrow's own cast is often off by one."""
    import pyarrow as pa

    cast = array.cast(pa.string()).cast(pa.float64())
    if array.type.precision > EXACT:
        for exact, number in zip(array.to_pylist(), cast.to_pylist(), strict=True):
            if exact is not None and Decimal(repr(number)) != exact:
                raise pa.ArrowInvalid("more digits than a float has")
    return cast


def _cast_or_null(array: pa.Array, declared: pa.DataType) -> list[pa.Array]:
    import pyarrow as pa

    try:
        return [_cast(array, declared)]
    except pa.ArrowInvalid:
        if len(array) == 1:
            return [pa.nulls(1, declared)]
    half = len(array) // 2
    return _cast_or_null(array.slice(0, half), declared) + _cast_or_null(array.slice(half), declared)


def _first_bad(array: pa.Array, declared: pa.DataType) -> int:
    """The place of the first value that cannot be cast."""
    import pyarrow as pa

    first, count = 0, len(array)
    while count > 1:
        half = count // 2
        try:
            _cast(array.slice(first, half), declared)
        except pa.ArrowInvalid:
            count = half
        else:
            first, count = first + half, count - half
    return first


def _shown(value: Any) -> str:
    try:
        return f"`{str(value)[:200]}`"
    except (ValueError, OverflowError):  # neither text nor a date of Python's
        return "a value"


def _why(found: Any, declared: pa.DataType) -> str:
    from pyarrow import types

    return "text must be UTF-8" if _is_text(found) and types.is_string(declared) else f"the file has {found}"


def _is_text(found: pa.DataType) -> bool:
    from pyarrow import types

    kinds = (types.is_string, types.is_large_string, types.is_string_view)
    raw = (types.is_binary, types.is_large_binary, types.is_binary_view)  # what old writers make of text
    return any(is_kind(found) for is_kind in (*kinds, *raw))


def _decoded(array: pa.Array) -> pa.Array:
    from pyarrow import types

    return array.dictionary_decode() if types.is_dictionary(array.type) else array
