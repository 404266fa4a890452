"""What DuckDB computes for a check: whether `known_at` has a value, and one that is not too far ahead."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.clock import naive
from evergreen.errors import ParamsError
from evergreen.params.tables import Table
from evergreen.quality.contract import ROW, derived_of_known_at
from evergreen.sql import expand, literal, quote

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB with one thread (the same order of rows each time) in UTC."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def without_known_at(rows: pa.Table, name: str, table: Table, time_zone: str) -> np.ndarray[Any, Any]:
    """The rows (by their `_row`) for which `known_at` is null, infinite, or an error such as an overflow.

    Raises ParamsError where the expression cannot be computed for any row, such as text plus an interval.
    """
    return _rows_where("NOT coalesce(isfinite(moment), false)", rows, name, table, time_zone)


def known_after(rows: pa.Table, name: str, table: Table, time_zone: str, limit: datetime) -> np.ndarray[Any, Any]:
    """The rows (by their `_row`) whose `known_at` lies after `limit`; ParamsError as above."""
    last = literal(naive(limit).isoformat(" "))
    return _rows_where(f"isfinite(moment) AND moment > TIMESTAMP {last}", rows, name, table, time_zone)


def _rows_where(condition: str, rows: pa.Table, name: str, table: Table, time_zone: str) -> np.ndarray[Any, Any]:
    """The rows for which a condition on `moment`, their `known_at`, holds."""
    import duckdb
    import numpy as np

    place = f"tables.{name}.known_at"
    known_at = expand(table.known_at, time_zone, [*table.columns, *table.derived], place)
    derived = derived_of_known_at(table, time_zone)
    columns = "".join(f", TRY({expression}) AS {quote(name)}" for name, expression in derived.items())
    connection = connect()
    connection.register("incoming", rows)
    try:
        query = f"""
            SELECT number FROM (
                SELECT {ROW} AS number, TRY(CAST({known_at} AS TIMESTAMP)) AS moment
                FROM (SELECT *{columns} FROM incoming)
            ) WHERE {condition} ORDER BY number"""
        return np.asarray(connection.execute(query).fetchnumpy()["number"])
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise ParamsError(f"{place}: `{table.known_at}` cannot be computed as a timestamp: {reason}") from None
