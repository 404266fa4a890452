"""How far a PostgreSQL table was read, and whether that still means anything to the server that answers now."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from evergreen.params.base import Section
from evergreen.sources.base import Receipt
from evergreen.sources.postgres_table import EPOCH, Moment

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


class Place(Section):
    """How far a first read came: in which table's file, and before which block."""

    leaf: int
    filenode: int
    block: int


class Position(Section):
    """What was read: every row version that a transaction before `xmin` wrote, or one of `seen`."""

    cluster: str
    table: int
    where: str | None
    columns: tuple[str, ...]
    identities: dict[str, str] = {}  # which columns of the table they were; older manifests have neither this nor `lsn`
    xmin: int
    lsn: int = 0  # how long the server's log was at least
    seen: tuple[int, ...] = ()
    leaves: tuple[int, ...]  # whose rows were read, or will have been when the first read ends
    first: Place | None = None  # where the first read goes on; None when it has ended

    def as_json(self) -> dict[str, Any]:
        """As a manifest keeps it."""
        return self.model_dump(mode="json")


def resume(stored: Mapping[str, Any], fresh: Position, moment: Moment, label: str) -> Position:
    """The stored position, or where it says nothing about this table on this server, `fresh`: all is read anew."""
    if not stored:
        return fresh
    try:
        position = Position.model_validate(stored)
        reason = _no_longer(position, fresh, moment)
    except ValidationError:
        reason = "the position is that of another source"
    if reason is None:
        # A column that is undeclared now, and a table that is detached, miss what comes from here on.
        leaves = tuple(leaf for leaf in position.leaves if leaf in fresh.leaves)
        now = {"columns": fresh.columns, "identities": fresh.identities, "leaves": leaves}
        return position.model_copy(update=now)
    log.warning("%s: reading all rows anew: %s", label, reason)
    return fresh


def _no_longer(position: Position, fresh: Position, moment: Moment) -> str | None:
    if position.cluster != fresh.cluster:
        return "this is another server, a restored one, or a standby that was promoted"
    if position.table != fresh.table or position.where != fresh.where:
        return "the table was made anew, or `where` is another one"
    if added := sorted(set(fresh.columns) - set(position.columns)):
        return f"columns are declared that were not read so far: {', '.join(added)}"
    before = position.identities
    if other := sorted(name for name, now in fresh.identities.items() if before.get(name, now) != now):
        return f"columns were made anew or are generated otherwise: {', '.join(other)}"
    if (moment.next < position.xmin or moment.lsn < position.lsn) and not moment.standby:
        return "the server was set back to an earlier state"
    if moment.next - position.xmin >= EPOCH:
        return "four billion transactions have passed since the last read"
    return None


def receipt(size: int, *covers: object, position: Mapping[str, Any]) -> Receipt:
    """Of a delivery that is named by what it covers."""
    return Receipt(hashlib.sha256(json.dumps(covers).encode()).hexdigest(), size, position)


def tight(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in the declared types and in memory of exactly its size: the driver's buffers are up to twice as large.

    Integers come in the server's width, which takes it and the wire less than a cast there.
    """
    import pyarrow as pa

    wide = [one if one.type == to.type else one.cast(to.type) for one, to in zip(batch.columns, schema, strict=True)]
    return pa.ipc.read_record_batch(pa.RecordBatch.from_arrays(wide, schema=schema).serialize(), schema)
