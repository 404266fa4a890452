"""What both ways to read a PostgreSQL table share: what is read of which table, and a query's rows as a delivery."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen import faults
from evergreen.sources.postgres_position import tight
from evergreen.sources.postgres_session import Session
from evergreen.sources.postgres_table import PgTable

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class TableFeed:
    """One table as params.yaml asks for it, read from one session."""

    session: Session
    table: PgTable
    columns: str  # the select list
    schema: pa.Schema
    where: str | None
    chunk_rows: int
    stored: Mapping[str, Any]

    def select(self, columns: str, condition: str, source: str | None = None) -> str:
        """SQL of the rows for which `condition` holds, of the table or of another `source`."""
        own = f" AND ({self.where})" if self.where else ""
        return f"SELECT {columns} FROM {source or self.table.name} WHERE {condition}{own}"


class TableRead:
    """A delivery that is the rows of one query; counts their bytes."""

    _bytes = 0

    def _rows(self, feed: TableFeed, query: str) -> Generator[pa.RecordBatch, None, None]:
        self._bytes = 0
        with closing(feed.session.stream(query)) as stream:
            for batch in stream:
                self._bytes += batch.nbytes
                yield tight(batch, feed.schema)
                faults.point("postgres.batch")
