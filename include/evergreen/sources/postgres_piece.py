"""A piece of the first read of a PostgreSQL table: blocks of a file, in a short transaction of its own."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evergreen import faults
from evergreen.errors import SourceError
from evergreen.sources.base import Receipt
from evergreen.sources.postgres_feed import TableRead
from evergreen.sources.postgres_position import Position, receipt
from evergreen.sources.postgres_table import Leaf, Moment, find_leaves, find_moment

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.sources.postgres_changes import Feed


@dataclass
class Piece(TableRead):
    """Blocks of a table's file, as far as nobody changed their rows since the first read began."""

    feed: Feed
    leaf: Leaf
    start: int
    end: int
    after: Position

    @property
    def origin(self) -> str:
        """The leaf and its blocks."""
        return f"{self.leaf.name}, blocks {self.start} to {self.end - 1}"

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in the order in which they lie there."""
        session, feed = self.feed.session, self.feed
        try:
            with session.transaction(feed.table.name):
                moment = find_moment(session)
                self._check(moment)
                faults.point("postgres.begun")
                old = f"{moment.row_xid} < {self.after.xmin}"
                blocks = f"ctid >= '({self.start},0)' AND ctid < '({self.end},0)'"
                yield from self._rows(feed, feed.select(feed.columns, f"{blocks} AND {old}", f"ONLY {self.leaf.name}"))
        except SourceError as error:
            raise SourceError(f"{self.origin}: {error}") from None
        faults.point("postgres.read")

    def receipt(self) -> Receipt:
        """Named by the blocks, the columns, and by when the first read began."""
        after = self.after
        begun = after.cluster, after.table, after.where, after.identities, after.xmin, after.lsn
        blocks = self.leaf.oid, self.leaf.filenode, self.start, self.end
        return receipt(self._bytes, *begun, *blocks, position=after.as_json())

    def _check(self, moment: Moment) -> None:
        self.feed.check(moment, self.after)
        now = {leaf.oid: leaf.filenode for leaf in find_leaves(self.feed.session, self.feed.table)}
        if now.get(self.leaf.oid) != self.leaf.filenode:
            raise SourceError(
                "its rows were moved while it was first read (VACUUM FULL, CLUSTER, TRUNCATE or ALTER TABLE); "
                "the next ingest reads it from its start"
            )
