"""What DuckDB computes for a check: whether `known_at` has a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.errors import ParamsError
from evergreen.params.tables import Table
from evergreen.quality.contract import ROW, derived_of_known_at
from evergreen.sql import expand, quote

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
    import duckdb
    import numpy as np

    place = f"tables.{name}.known_at"
    known_at = expand(table.known_at, time_zone, [*table.columns, *table.derived], place)
    moment = f"TRY(CAST({known_at} AS TIMESTAMP))"
    derived = derived_of_known_at(table, time_zone)
    columns = "".join(f", TRY({expression}) AS {quote(name)}" for name, expression in derived.items())
    connection = connect()
    connection.register("incoming", rows)
    try:
        query = f"""
            SELECT {ROW} FROM (SELECT *{columns} FROM incoming)
            WHERE NOT coalesce(isfinite({moment}), false) ORDER BY {ROW}"""
        return np.asarray(connection.execute(query).fetchnumpy()[ROW])
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise ParamsError(f"{place}: `{table.known_at}` cannot be computed as a timestamp: {reason}") from None
