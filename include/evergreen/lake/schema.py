"""Column types of params.yaml as Arrow and DuckDB types, and the one way in which Parquet is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evergreen.params.tables import Column, ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

# A category is text in files and in SQL; it becomes a pandas category only where a frame is made.
DUCKDB_TYPES: dict[ColumnType, str] = {
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
    "category": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}

# Same rows, same bytes: nothing that depends on the writer's surroundings is left to a default.
WRITER: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "version": "2.6",
    "data_page_version": "1.0",
    "use_dictionary": True,
    "write_statistics": True,
    "store_schema": True,
}
ROW_GROUP = 250_000
FILE_ROWS = 1_000_000


def arrow_type(type_: ColumnType) -> pa.DataType:
    """The Arrow type of a column; a timestamp is UTC in microseconds without a zone."""
    import pyarrow as pa

    types: dict[ColumnType, pa.DataType] = {
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "string": pa.string(),
        "category": pa.string(),
        "timestamp": pa.timestamp("us"),
        "date": pa.date32(),
    }
    return types[type_]


def prediction_type(classes: int = 0) -> pa.DataType:
    """The Arrow type of a prediction: a number, or of a multiclass label a list with a probability a class.

    The list has no fixed length in its type: Parquet's readers stumble over a null in one that has.
    """
    import pyarrow as pa

    return pa.list_(pa.float64()) if classes else pa.float64()


def arrow_schema(columns: Mapping[str, Column]) -> pa.Schema:
    """The schema of a table's raw files: the declared columns, in their declared order."""
    import pyarrow as pa

    return pa.schema([(name, arrow_type(column.type)) for name, column in columns.items()])
