"""Rows of a PostgreSQL table by the transactions that wrote them: a first read in pieces, then what changed since.

Every row version says which transaction wrote it. A read remembers `xmin`, the oldest transaction that was still
running, and `seen`, the later ones whose rows it read: what the next read finds of any other transaction from `xmin`
on is new. That is so for a transaction that commits long after others which began later, where a column of times or
numbers loses rows; and also for savepoints and on a standby, where PostgreSQL's own list of running transactions,
which `pg_visible_in_snapshot` asks, is not complete.

The first read goes through the table's blocks, a transaction for each piece, and leaves out what a transaction from
its beginning on wrote; the read of changes that follows brings that. So nothing is missing and nothing comes twice,
whatever changes meanwhile. Deleted rows are not seen.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evergreen import faults
from evergreen.errors import SourceError
from evergreen.sources.base import Receipt
from evergreen.sources.postgres_feed import TableFeed
from evergreen.sources.postgres_piece import Piece
from evergreen.sources.postgres_position import Place, Position, receipt, resume, tight
from evergreen.sources.postgres_table import Leaf, Moment, find_leaves, find_moment, wait_for_disk

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

SEEN_LIMIT = 10_000  # where one transaction is open for very long, more may come; then equal rows come once more
STALE = 1 << 30  # transactions after which the position of a table without changes moves on nevertheless


class Feed(TableFeed):
    """The deliveries of one table from one session."""

    def deliveries(self) -> Iterator[Piece | Changes]:
        """The rest of the first read, then what changed since it began, or since the last read."""
        if self.table.kind not in ("r", "p"):
            raise SourceError(
                f"{self.table.label} is no table (a view or a foreign table), and its rows do not say which "
                "transaction wrote them. Name a table, or set `cursor` to a column that only grows"
            )
        with self.session.transaction(self.table.name):
            moment, leaves = find_moment(self.session), find_leaves(self.session, self.table)
        names = tuple(self.schema.names)
        fresh = Position(
            cluster=moment.cluster, table=self.table.oid, where=self.where, columns=names,
            identities={name: self.table.identities[name] for name in names}, xmin=moment.xmin, lsn=moment.lsn,
            leaves=tuple(leaf.oid for leaf in leaves), first=Place(leaf=0, filenode=0, block=0),
        )  # fmt: skip
        position = resume(self.stored, fresh, moment, self.table.label)
        if position is fresh:
            wait_for_disk(self.session, moment)
        yield from self._pieces(position, leaves)
        yield from self._changes(position.model_copy(update={"first": None}))

    def _pieces(self, position: Position, leaves: list[Leaf]) -> Iterator[Piece]:
        """What is left of the first read. The position after the last piece says that it has ended."""
        if position.first is None:
            return
        left = [span for leaf in leaves if leaf.oid in position.leaves for span in self._spans(position.first, leaf)]
        for number, (leaf, start, end) in enumerate(left, 1):
            place = Place(leaf=leaf.oid, filenode=leaf.filenode, block=end) if number < len(left) else None
            yield Piece(self, leaf, start, end, position.model_copy(update={"first": place}))

    def _spans(self, place: Place, leaf: Leaf) -> Iterator[tuple[Leaf, int, int]]:
        """The blocks of a leaf that are left, in pieces; all of them where its rows were moved since."""
        if leaf.oid < place.leaf:
            return
        begun = leaf.oid == place.leaf and leaf.filenode == place.filenode
        size = max(1, int(self.chunk_rows / leaf.density))
        for start in range(place.block if begun else 0, leaf.blocks, size):
            yield leaf, start, min(start + size, leaf.blocks)

    def _changes(self, position: Position) -> Iterator[Changes]:
        with self.session.transaction(self.table.name):
            moment, leaves = find_moment(self.session), find_leaves(self.session, self.table)
            self.check(moment, position)
            known, now = set(position.leaves), tuple(leaf.oid for leaf in leaves)
            if moment.next <= position.xmin and known.issuperset(now):
                return  # nothing was written anywhere
            with closing(Changes(self, position, moment, now)) as changes:
                if changes.peek() or moment.next - position.xmin > STALE:
                    yield changes

    def check(self, moment: Moment, position: Position) -> None:
        """Raise SourceError where the server is not the one that the run began with."""
        if moment.cluster != position.cluster:
            raise SourceError(f"{self.table.label}: another server answers than a moment ago; ingest again")


@dataclass
class Changes:
    """The rows that were written since a position, as one snapshot sees them; its transaction is open already."""

    feed: Feed
    since: Position
    moment: Moment
    leaves: tuple[int, ...]
    _stream: Generator[pa.RecordBatch, None, None] | None = None
    _first: pa.RecordBatch | None = None
    _failed: SourceError | None = None
    _seen: set[int] = field(default_factory=set)
    _bytes: int = 0

    @property
    def origin(self) -> str:
        """The table and the transactions between."""
        return f"{self.feed.table.label}, changes from transaction {self.since.xmin} to {self.moment.next - 1}"

    @property
    def _xmin(self) -> int:
        """From where the next read looks: a standby may lag behind what was read elsewhere."""
        return max(self.since.xmin, self.moment.xmin)

    def close(self) -> None:
        """Free the connection."""
        if self._stream is not None:
            self._stream.close()

    def peek(self) -> bool:
        """Whether there is anything, be it an error, found by reading the first batch."""
        self._stream = self.feed.session.stream(self._query())
        try:
            self._first = next(self._stream, None)
        except SourceError as error:
            self._failed = error
        return self._first is not None or self._failed is not None

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The changed rows in the order in which they lie in the table."""
        self._seen = {xid for xid in self.since.seen if xid >= self._xmin}
        try:
            faults.point("postgres.begun")
            if self._failed is not None:
                raise self._failed
            for batch in self._held():
                yield self._known(batch)
                faults.point("postgres.batch")
            wait_for_disk(self.feed.session, self.moment)
        except SourceError as error:
            raise SourceError(f"{self.origin}: {error}") from None
        finally:
            self.close()
        faults.point("postgres.read")

    def _held(self) -> Iterator[pa.RecordBatch]:
        """All batches, from the one that was read to see whether there are any."""
        if self._first is not None and self._stream is not None:
            yield self._first
            self._first = None
            yield from self._stream

    def receipt(self) -> Receipt:
        """Named by the position before and the snapshot."""
        seen = sorted(self._seen)
        if len(seen) > SEEN_LIMIT:
            log.warning(
                "%s: a transaction has been open for %d later ones; the next read repeats their rows, to no effect",
                self.feed.table.label, len(seen),
            )  # fmt: skip
            seen = []
        lsn = max(self.since.lsn, self.moment.lsn)
        now = {"xmin": self._xmin, "lsn": lsn, "seen": tuple(seen), "leaves": self.leaves}
        after = self.since.model_copy(update=now)
        covers = self.since.as_json(), self.moment.xmin, self.moment.next, sorted(self._seen)
        return receipt(self._bytes, *covers, position=after.as_json())

    def _query(self) -> str:
        xid = self.moment.row_xid
        condition = f"{xid} >= {self.since.xmin}"
        if self.since.seen:
            condition += f" AND {xid} <> ALL ('{{{','.join(map(str, self.since.seen))}}}'::bigint[])"
        if unknown := sorted(set(self.leaves) - set(self.since.leaves)):
            condition = f"({condition} OR tableoid IN ({','.join(map(str, unknown))}))"
        return self.feed.select(f"{self.feed.columns}, {xid}", condition)

    def _known(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without its last column, the transactions, of which those are remembered that count later."""
        import pyarrow.compute as pc

        xids = pc.unique(batch.column(batch.num_columns - 1))
        self._seen.update(xid for xid in xids.to_pylist() if xid >= self._xmin)
        rows = batch.select(range(batch.num_columns - 1))
        self._bytes += rows.nbytes
        return tight(rows, self.feed.schema)
