"""Which key a `unique` value belongs to, across the files of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.lake.schema import DUCKDB_TYPES
from evergreen.params.tables import Table
from evergreen.quality.contract import ROW
from evergreen.quality.expressions import connect
from evergreen.sql import literal, quote

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Owners:
    """The claims on the values that a chunk of files has, in its `unique` columns.

    A value belongs to the key that had it first, in the order of files and of their rows. Repeats of that key are
    corrections, and nulls repeat freely. Earlier clean files are read once a chunk, and of them only what concerns
    a value of the chunk is kept, so memory is bounded by the chunk.
    """

    def __init__(self, table: Table, chunk: pa.Table, others: Sequence[tuple[int, Path]]) -> None:
        """`others` are the clean files that count outside of the chunk, each with its place in manifest order."""
        self._table = table
        self._connection = connect()
        unique = [name for name, column in table.columns.items() if column.unique]
        self._claims = {name: f"claims_{number}" for number, name in enumerate(unique)}
        for column in unique:
            self._start(column, chunk, others)

    def _start(self, column: str, chunk: pa.Table, others: Sequence[tuple[int, Path]]) -> None:
        names = self._names(column)
        types = ", ".join(f"{quote(name)} {DUCKDB_TYPES[self._table.columns[name].type]}" for name in names)
        self._connection.execute(f"CREATE TEMP TABLE {self._claims[column]} ({types}, _file BIGINT, {ROW} BIGINT)")
        usable = [(place, path) for place, path in others if _has(path, names)]
        if not usable:
            return
        self._connection.register("chunk", chunk.select([column]))
        cast = ", ".join(
            f"TRY_CAST({quote(name)} AS {DUCKDB_TYPES[self._table.columns[name].type]}) AS {quote(name)}"
            for name in names
        )
        paths = ", ".join(literal(str(path)) for _, path in usable)
        places = ", ".join(f"({literal(str(path))}, {place})" for place, path in usable)
        self._connection.execute(f"""
            INSERT INTO {self._claims[column]} SELECT * FROM (
                SELECT {cast}, place, {ROW}
                FROM read_parquet([{paths}], filename = '_path', union_by_name = true) AS clean
                JOIN (VALUES {places}) AS files(path, place) ON files.path = clean._path
            ) WHERE {quote(column)} IN (SELECT {quote(column)} FROM chunk)
            QUALIFY row_number() OVER (PARTITION BY {quote(column)}, place ORDER BY {ROW}) = 1""")
        self._connection.unregister("chunk")

    def broken(self, column: str, rows: pa.Table, place: int, admissible: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The rows (by their `_row`) of the file at `place` whose value of `column` belongs to another key.

        Only `admissible` rows take a value, so that a row on its way to quarantine takes none from a good one.
        """
        import numpy as np
        import pyarrow as pa

        value, columns = quote(column), ", ".join(map(quote, self._names(column)))
        same = " AND ".join(f"incoming.{quote(key)} IS NOT DISTINCT FROM owner.{quote(key)}" for key in self._table.key)
        self._connection.register("incoming", rows.append_column("_admissible", pa.array(admissible)))
        answer = self._connection.execute(f"""
            WITH claims AS (
                SELECT {columns}, {place} AS _file, {ROW} FROM incoming WHERE _admissible
                UNION ALL SELECT {columns}, _file, {ROW} FROM {self._claims[column]}
                WHERE _file < {place} AND {value} IN (SELECT {value} FROM incoming)
            ), owner AS (
                SELECT * FROM claims WHERE {value} IS NOT NULL
                QUALIFY row_number() OVER (PARTITION BY {value} ORDER BY _file, {ROW}) = 1
            )
            SELECT incoming.{ROW} FROM incoming JOIN owner ON incoming.{value} = owner.{value}
            WHERE NOT ({same}) ORDER BY 1""").fetchnumpy()
        self._connection.unregister("incoming")
        return np.asarray(answer[ROW])

    def take(self, clean: pa.Table, place: int) -> None:
        """Let the clean rows of the file at `place` claim their values against the files after it."""
        self._connection.register("incoming", clean)
        for column, claims in self._claims.items():
            columns = ", ".join(map(quote, self._names(column)))
            self._connection.execute(f"""
                INSERT INTO {claims} SELECT {columns}, {place}, {ROW} FROM incoming WHERE {quote(column)} IS NOT NULL
                QUALIFY row_number() OVER (PARTITION BY {quote(column)} ORDER BY {ROW}) = 1""")
        self._connection.unregister("incoming")

    def _names(self, column: str) -> list[str]:
        return list(dict.fromkeys([column, *self._table.key]))


def _has(path: Path, columns: Iterable[str]) -> bool:
    """Whether a clean file has the columns: one that was written before they were declared does not."""
    import pyarrow.parquet as pq

    return set(columns) <= set(pq.read_schema(path).names)
