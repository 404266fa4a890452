"""What DuckDB checks: that `known_at` has a value, and that `unique` values belong to one key across files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import ParamsError
from evergreen.params.tables import Table
from evergreen.quality.contract import ROW
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
    import duckdb

    place = f"tables.{name}.known_at"
    moment = f"TRY(CAST({expand(table.known_at, time_zone, table.columns, place)} AS TIMESTAMP))"
    connection = connect()
    connection.register("incoming", rows)
    try:
        query = f"SELECT {ROW} FROM incoming WHERE NOT coalesce(isfinite({moment}), false) ORDER BY {ROW}"
        return _numbers(connection, query)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise ParamsError(f"{place}: `{table.known_at}` cannot be computed as a timestamp: {reason}") from None


def repeated(
    rows: pa.Table, column: str, key: Sequence[str], admissible: np.ndarray[Any, Any], earlier: Sequence[Path]
) -> np.ndarray[Any, Any]:
    """The rows (by their `_row`) whose value of `column` belongs to another key.

    A value belongs to the key that had it first, in the `earlier` clean files (in manifest order) and then among the
    `admissible` rows of this file. Repeats of one key are corrections, and nulls repeat freely. Memory is bounded by
    this file: of the earlier ones only rows with one of its values are kept.
    """
    import pyarrow as pa

    connection = connect()
    connection.register("incoming", rows.append_column("_admissible", pa.array(admissible)))
    same_key = " AND ".join(f"incoming.{quote(part)} IS NOT DISTINCT FROM owner.{quote(part)}" for part in key)
    columns = ", ".join(quote(name) for name in dict.fromkeys([column, *key]))
    value = quote(column)
    claims = f"SELECT {columns}, {len(earlier)} AS _file, {ROW} FROM incoming WHERE _admissible"
    if usable := [place for place, path in enumerate(earlier) if _has(path, [column, *key])]:
        places = ", ".join(f"({literal(str(earlier[place]))}, {place})" for place in usable)
        paths = ", ".join(literal(str(earlier[place])) for place in usable)
        claims += f"""
            UNION ALL SELECT {columns}, place AS _file, {ROW}
            FROM read_parquet([{paths}], filename = '_path', union_by_name = true) AS clean
            JOIN (VALUES {places}) AS files(path, place) ON files.path = clean._path
            WHERE {value} IN (SELECT {value} FROM incoming)"""
    query = f"""
        WITH claims AS ({claims}),
        owner AS (
            SELECT * FROM claims WHERE {value} IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY {value} ORDER BY _file, {ROW}) = 1
        )
        SELECT incoming.{ROW} FROM incoming JOIN owner ON incoming.{value} = owner.{value}
        WHERE NOT ({same_key}) ORDER BY 1"""
    return _numbers(connection, query)


def _numbers(connection: duckdb.DuckDBPyConnection, query: str) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.asarray(connection.execute(query).fetchnumpy()[ROW])


def _has(path: Path, columns: Sequence[str]) -> bool:
    """Whether a clean file has the columns: one that was written before they were declared does not."""
    import pyarrow.parquet as pq

    return set(columns) <= set(pq.read_schema(path).names)
