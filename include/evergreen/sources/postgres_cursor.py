"""Rows of a PostgreSQL table or view by a column that only grows, such as a number or the time of the last change.

It needs no more than SELECT, so it reads views and foreign tables too. But a row that is committed after one with an
equal or higher value was read is missed. `lag` leaves the newest rows for a later read; it must be longer than the
longest transaction that writes, and for a column of days a day longer. Index the column: each piece of a long read
looks for its end.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from evergreen import faults
from evergreen.errors import SourceError
from evergreen.sources.base import Receipt
from evergreen.sources.postgres_feed import TableFeed, TableRead
from evergreen.sources.postgres_position import receipt
from evergreen.sources.postgres_session import identifier, literal
from evergreen.sources.postgres_types import WITH_ZONE, WITHOUT_ZONE

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


@dataclass
class CursorFeed(TableFeed):
    """The deliveries of one table from one session."""

    cursor: str
    lag: timedelta | None

    def deliveries(self) -> Iterator[CursorPiece]:
        """Pieces of about `chunk_rows` rows, up to the highest value that there is now; a transaction for each."""
        column = self._column()
        last = self._last()
        with self.session.transaction():
            end = self._end(column, last)
        while end is not None and last != end:
            with self.session.transaction():
                stop = self._stop(column, last, end)
            yield CursorPiece(self, self._between(column, last, stop), last, stop)
            last = stop

    def position(self, value: str) -> dict[str, Any]:
        """As a manifest keeps it."""
        described = {"cursor": self.cursor, "value": value, "table": self.table.name, "where": self.where}
        return {**described, "columns": list(self.schema.names)}

    def _column(self) -> str:
        if self.cursor not in self.table.columns:
            raise SourceError(
                f"{self.table.label} has no column `{self.cursor}`, which `cursor` names. "
                f"Found: {', '.join(self.table.columns)}"
            )
        type_ = self.table.columns[self.cursor].type
        if self.lag is not None and type_ not in (WITH_ZONE, WITHOUT_ZONE, "date"):
            raise SourceError(f"{self.table.label}: `lag` needs a cursor of times, and `{self.cursor}` holds none")
        if type_ == "date" and (self.lag is None or self.lag < timedelta(days=1)):
            log.warning(
                "%s: `%s` holds days, and what is written later on a day that was read is missed; set a `lag` of more "
                "than a day", self.table.label, self.cursor,
            )  # fmt: skip
        return identifier(self.cursor)

    def _last(self) -> str | None:
        now = self.position(str(self.stored.get("value")))
        read = self.stored.get("columns", now["columns"])  # older manifests do not say
        if self.stored and (now != {**self.stored, "columns": now["columns"]} or set(now["columns"]) - set(read)):
            log.warning("%s: reading all rows anew: the source is described otherwise", self.table.label)
            return None
        return self.stored.get("value")

    def _end(self, column: str, last: str | None) -> str | None:
        """The highest value, or the highest that is old enough; None where it is not higher than the last read."""
        old = f"{column} <= now() - interval '{self.lag.total_seconds()} seconds'" if self.lag else "true"
        if last is not None:
            old += f" AND {column} > {literal(last)}"
        end = self.session.rows(self.select(f"max({column})::text AS value", old))[0]["value"]
        if self.session.rows(self.select("1 AS one", f"{column} IS NULL") + " LIMIT 1"):
            log.warning("%s: rows whose `%s` is null are never read", self.table.label, self.cursor)
        return None if end is None else str(end)

    def _stop(self, column: str, last: str | None, end: str) -> str:
        """Where the piece behind `last` ends: the value of its last row, with all rows of the same value."""
        between = self._between(column, last, end)
        limit = f" ORDER BY {column} OFFSET {self.chunk_rows - 1} LIMIT 1"
        found = self.session.rows(self.select(f"{column}::text AS value", between) + limit)
        return str(found[0]["value"]) if found else end

    def _between(self, column: str, last: str | None, stop: str) -> str:
        behind = f"{column} > {literal(last)} AND " if last is not None else ""
        return f"{behind}{column} <= {literal(stop)}"


@dataclass
class CursorPiece(TableRead):
    """The rows behind one value of the cursor, up to another."""

    feed: CursorFeed
    condition: str
    last: str | None
    stop: str

    @property
    def origin(self) -> str:
        """The table and the two values."""
        return f"{self.feed.table.label}, {self.feed.cursor} from {self.last or 'the start'} to {self.stop}"

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in no order of their own."""
        feed = self.feed
        try:
            faults.point("postgres.begun")
            with feed.session.transaction():
                yield from self._rows(feed, feed.select(feed.columns, self.condition))
        except SourceError as error:
            raise SourceError(f"{self.origin}: {error}") from None
        faults.point("postgres.read")

    def receipt(self) -> Receipt:
        """Named by the two values."""
        position = self.feed.position(self.stop)
        return receipt(self._bytes, position, self.last, position=position)
