"""The columns of a sample in their declared types, and which values do not go into them.

A source reads by the declared types and refuses a whole file for one value. Here they are read as the source types
them, then converted, so that the values can be counted and shown: by the source's own rules where it has types, by
those of text below where its types are inferred.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.lake.schema import DUCKDB_TYPES, arrow_type
from evergreen.params.tables import ColumnType

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from evergreen.sources.base import Fit

_INTEGER = r"[+-]?\d+"


class Converted(NamedTuple):
    """A column in its declared type, null where `bad`."""

    values: pa.ChunkedArray
    bad: np.ndarray[Any, Any]


def convert(values: pa.ChunkedArray, type_: ColumnType, fit: Fit | None = None) -> Converted:
    """`values` as `type_`, by the source's `fit` if it has one; `bad` marks those that have a value and lose it."""
    import pyarrow as pa

    wanted = arrow_type(type_)
    found = _without_nan(values)
    if pa.types.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    if fit:
        made = fit(found, wanted)
    elif pa.types.is_null(found.type) or found.type == wanted:
        made = found.cast(wanted)
    elif wanted == pa.string():
        made = _as_text(found)
    elif is_text(found.type):
        made = _from_text(found, type_)
    else:
        made = _from_typed(found, wanted)
    lost = made.is_null().to_numpy(zero_copy_only=False) & found.is_valid().to_numpy(zero_copy_only=False)
    return Converted(made, lost)


def is_text(type_: pa.DataType) -> bool:
    """Whether a column of the type is text."""
    import pyarrow as pa

    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def is_number(type_: pa.DataType) -> bool:
    """Whether a column of the type holds numbers."""
    import pyarrow as pa

    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def type_name(type_: pa.DataType) -> str:
    """An Arrow type in the words of params.yaml where it has them."""
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return type_name(type_.value_type)
    if pa.types.is_null(type_):
        return "only nulls"
    if is_text(type_):
        return "text"
    if pa.types.is_timestamp(type_):
        return "timestamp" if type_.tz else "timestamp, no zone"
    return {"double": "float64", "float": "float32", "date32[day]": "date"}.get(str(type_), str(type_))


def _without_nan(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # nested values and bytes
        return pa.chunked_array([pa.nulls(len(values), pa.string())])


def _from_text(texts: pa.ChunkedArray, type_: ColumnType) -> pa.ChunkedArray:
    import duckdb
    import pyarrow as pa

    if type_ == "timestamp":
        return _moments(texts)
    value = f"try_cast(x as {DUCKDB_TYPES[type_]})"
    if type_ == "int64":  # DuckDB would round
        value = f"case when regexp_full_match(x, '{_INTEGER}') then {value} end"
    con = duckdb.connect(config={"threads": 1})
    con.execute("set TimeZone = 'UTC'")
    con.register("texts", pa.table({"n": pa.array(range(len(texts))), "x": texts}))
    found = con.execute(f"select {value} as x from texts order by n").to_arrow_table()
    return found["x"].cast(arrow_type(type_))


def _moments(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as the sources read it: ISO 8601, with an offset or in UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    distinct = pc.unique(texts.drop_null())
    wanted = pa.array([_moment(text) for text in distinct], pa.timestamp("us"))
    return pa.chunked_array([wanted.take(pc.index_in(texts.combine_chunks(), value_set=distinct))])


def _moment(text: pa.Scalar) -> datetime | None:
    import pyarrow as pa

    for type_ in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            found: datetime = text.cast(type_).cast(pa.timestamp("us")).as_py()
            return found
        except pa.ArrowInvalid:
            continue
    return None


def _from_typed(values: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Numbers, flags and moments as each other where no value changes; null where one would."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = pa.chunked_array([pa.nulls(len(values), wanted)])
    moments = pa.types.is_temporal(values.type), pa.types.is_temporal(wanted)
    if moments[0] != moments[1]:
        return nothing
    try:
        made = values.cast(wanted, safe=False)
        if pa.types.is_floating(wanted):  # which rounds what it cannot hold, and refuses nothing
            return made
        same = pc.equal(made.cast(values.type, safe=False), values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return nothing
    return pc.if_else(same, made, pa.scalar(None, wanted))
