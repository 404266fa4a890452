"""PostgreSQL: a table read in pieces, and from then on the rows that changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from evergreen.lake.schema import arrow_type
from evergreen.params.base import Duration, Section
from evergreen.sources.base import Delivery, Inferred, Request
from evergreen.sources.postgres_changes import Feed
from evergreen.sources.postgres_cursor import CursorFeed
from evergreen.sources.postgres_session import Session
from evergreen.sources.postgres_table import find_table
from evergreen.sources.postgres_types import WITH_ZONE, Infinite, declared_types

if TYPE_CHECKING:
    import pyarrow as pa


class Postgres(Inferred, Section):
    """A table of a PostgreSQL database, version 14 or later, or one of its standbys. Deleted rows are not seen.

    First all rows are read, in pieces, a short transaction for each; then each run reads the rows that were inserted
    or updated since, found by the transactions that wrote them: none is missed, however late it was committed, and
    no column has to be kept for it. Each such run scans the table once. All rows are read anew, which changes nothing
    where they are equal, when the table or a column was made anew, a column was added to params.yaml, `where` changed,
    or the server is another one: restored, upgraded, or a standby that was promoted.
    """

    ordered: ClassVar[bool] = True

    connection: str = Field(
        pattern=r"^\w+$",
        description="The Airflow connection with host, database, user and password; on the command line the "
        "environment variable AIRFLOW_CONN_<NAME>. Its extra goes to libpq: `sslmode`, `sslrootcert`, `options`...",
    )
    table: str = Field(
        min_length=1, description="The table as in SQL: `sales.orders`, or `orders` on the role's search path."
    )
    where: str | None = Field(
        None, description="An SQL condition over one row; others are not read. A row that ceases to meet it stays."
    )
    infinite: Infinite = Field(
        "refuse",
        description="What the times `infinity` and `-infinity` become, which the lake cannot hold: an error, or a "
        "`missing` value.",
    )
    chunk_rows: int = Field(1_000_000, ge=1, description="About how many rows of a first read one transaction reads.")
    cursor: str | None = Field(
        None,
        description="Read by a column that only grows instead, as views and foreign tables need it. A row that is "
        "committed after one with an equal or higher value was read is missed: in a column of days all that comes "
        "later on that day.",
    )
    lag: Duration | None = Field(
        None,
        description="With a cursor of times or days: rows younger than this wait for a later run. Longer than the "
        "longest transaction that writes, and for days a day longer, it misses none. Times without a zone and days are "
        "taken for UTC: where they are local and behind it, add the difference.",
    )
    timeout: Duration = Field(
        timedelta(hours=1),
        description="How long to wait for a server that says nothing. A run that finds no changes hears nothing until "
        "the table is scanned.",
    )

    @model_validator(mode="after")
    def _lag_has_a_cursor(self) -> Postgres:
        if self.lag is not None and self.cursor is None:
            raise ValueError("`lag` needs `cursor`; without one, no row is missed anyway")
        return self

    def deliveries(self, request: Request) -> Iterator[Delivery]:
        """What is left of the first read, then what changed."""
        with Session(self.connection, self.table, self.timeout) as session:
            table = find_table(session, self.table)
            columns = table.select(declared_types(request.schema), self.infinite)
            common = session, table, columns, request.schema, self.where, self.chunk_rows, request.position
            if self.cursor is None:
                yield from Feed(*common).deliveries()
            else:
                yield from CursorFeed(*common, self.cursor, self.lag).deliveries()

    def sample(self, request: Request, rows: int) -> pa.Table | None:
        """The first rows as they lie in the table, each column as the lake's type that holds it best."""
        import pyarrow as pa

        with Session(self.connection, self.table, self.timeout) as session:
            table = find_table(session, self.table)
            columns = table.select({name: column.natural for name, column in table.columns.items()}, "missing")
            where = f" WHERE {self.where}" if self.where else ""
            with (
                session.transaction(),
                closing(session.stream(f"SELECT {columns} FROM {table.name}{where} LIMIT {rows}")) as stream,
            ):
                batches = list(stream)
        if not batches:
            return None
        zoned = {name for name, column in table.columns.items() if column.type == WITH_ZONE}
        found = pa.Table.from_batches(batches)
        types = {name: arrow_type(column.natural) for name, column in table.columns.items()}
        types |= dict.fromkeys(zoned, pa.timestamp("us", "UTC"))
        return found.cast(pa.schema([(name, types[name]) for name in found.column_names]))
