"""The engine of feature tables: Ibis on DuckDB with one thread, and SQL expressions made columns."""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import ParamsError
from evergreen.sql import expand, quote

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

_NUMBERS = itertools.count()


class Sql(NamedTuple):
    """An expression of params.yaml and its place there, which an error names."""

    text: str
    place: str


def connect() -> Backend:
    """A DuckDB in memory: one thread, so that the same rows give the same bytes; what does not fit goes to disk."""
    import ibis

    spill = Path(tempfile.gettempdir()) / f"evergreen-duckdb-{os.getpid()}"
    con = ibis.duckdb.connect(threads=1, temp_directory=str(spill))
    con.raw_sql("set TimeZone = 'UTC'")
    return con


class Scratch:
    """Temporary tables of one computation: each step is computed once, and all are dropped together."""

    def __init__(self, con: Backend) -> None:
        self.con = con
        self._names: list[str] = []

    def keep(self, table: ir.Table) -> ir.Table:
        """`table`, computed now."""
        self._names.append(new_name())
        return self.con.create_table(self._names[-1], table, temp=True)

    def drop(self) -> None:
        """Drop every table kept."""
        for name in self._names:
            self.con.raw_sql(f"drop table if exists {quote(name)}")


@contextmanager
def scratch(con: Backend) -> Iterator[Scratch]:
    """A Scratch that is dropped at the end."""
    made = Scratch(con)
    try:
        yield made
    finally:
        made.drop()


def materialise(con: Backend, table: ir.Table) -> ir.Table:
    """Compute `table` into a temporary table of a new name, which lives as long as the connection."""
    return con.create_table(new_name(), table, temp=True)


def new_name() -> str:
    """A name that no other table of this process has."""
    return f"__evergreen_{next(_NUMBERS)}"


def evaluate(
    table: ir.Table, expressions: Mapping[str, Sql], time_zone: str, keep: Mapping[str, str] | None = None
) -> ir.Table:
    """`table` with SQL expressions over it as columns, after those of `keep` (new name to column; None: all).

    Raises ParamsError naming the place of an expression that does not parse, names an unknown column or has
    operands of the wrong type.
    """
    import duckdb

    kept = {name: name for name in table.columns} if keep is None else keep
    bound = {name: expand(sql.text, time_zone, table.columns, sql.place) for name, sql in expressions.items()}
    parts = [f"{quote(column)} as {quote(name)}" for name, column in kept.items()]
    try:
        return _select(table, ", ".join(parts + [f"{text} as {quote(name)}" for name, text in bound.items()]))
    except duckdb.Error:
        for name, sql in expressions.items():
            _try(table, bound[name], sql)
        raise


def _try(table: ir.Table, text: str, sql: Sql) -> None:
    import duckdb

    try:
        _select(table, f"{text} as x")
    except duckdb.Error as error:
        raise ParamsError(f"{sql.place}: `{sql.text}` cannot be computed: {str(error).splitlines()[0]}") from None


def _select(table: ir.Table, columns: str) -> ir.Table:
    alias = new_name()
    return table.alias(alias).sql(f"select {columns} from {alias}", dialect="duckdb")


def micros(moment: Any) -> Any:
    """A timestamp column as whole microseconds since 1970.

    Integers give every engine the same order and the same ranges; intervals over timestamps do not.
    """
    return _epoch_us()(moment.cast("timestamp(6)"))


@functools.cache
def _epoch_us() -> Any:
    import ibis

    def epoch_us(moment):  # type: ignore[no-untyped-def]  # DuckDB's own; Ibis reads the types from the signature
        ...

    return ibis.udf.scalar.builtin(epoch_us, signature=(("timestamp(6)",), "int64"))


def span_micros(span: timedelta) -> int:
    """A duration in whole microseconds."""
    return span // timedelta(microseconds=1)


def finite(column: Any) -> Any:
    """The column with NaN and the infinities as null; other types as they are."""
    import ibis

    if not column.type().is_floating():
        return column
    return ibis.ifelse(column.isnan() | column.isinf(), ibis.null(column.type()), column)


def union_all(tables: Iterable[ir.Table]) -> ir.Table:
    """All rows of tables that have the same columns, in any order of columns."""
    first, *others = tables
    for other in others:
        first = first.union(other.select(*first.columns), distinct=False)
    return first
