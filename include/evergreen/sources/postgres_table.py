"""What a session sees of a table: its columns, the files that its rows lie in, and the moment of the transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from evergreen.errors import SourceError
from evergreen.params.tables import ColumnType
from evergreen.sources.postgres_session import Session, identifier, literal
from evergreen.sources.postgres_types import Infinite, PgColumn, select_list

EPOCH = 1 << 32  # transactions that a row's 32 bits can tell apart
# The columns in their order; what a domain is made of instead of the domain. The identity changes with what gives old
# rows other values without writing them: a column dropped and made again, or its generation expression.
_COLUMNS = """
WITH RECURSIVE known(num, name, type, identity) AS (
    SELECT attnum, attname::text, atttypid, concat_ws(' ', attnum, atttypid,
        CASE WHEN attgenerated <> '' THEN md5(pg_get_expr(adbin, adrelid)) END)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT num, name, typbasetype, identity FROM known JOIN pg_type ON pg_type.oid = known.type WHERE typtype = 'd')
SELECT name, format_type(type, NULL) AS type, typcategory = 'A' AS is_array, identity
FROM known JOIN pg_type ON pg_type.oid = known.type WHERE typtype <> 'd' ORDER BY num"""
# A partitioned table has no rows of its own: they lie in its leaves. So do those of what inherits from a table.
_LEAVES = """
WITH RECURSIVE tree(oid) AS (
    SELECT {oid}::oid UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.oid)
SELECT c.oid::bigint AS oid, c.oid::regclass::text AS name, c.relkind::text AS kind,
    coalesce(pg_relation_filenode(c.oid), 0)::bigint AS filenode,
    CASE WHEN c.relkind IN ('r', 'm')
        THEN pg_relation_size(c.oid) / current_setting('block_size')::bigint ELSE 0 END AS blocks,
    CASE WHEN c.reltuples > 0 AND c.relpages > 0 THEN c.reltuples / c.relpages ELSE 100 END::float8 AS density
FROM tree JOIN pg_class c ON c.oid = tree.oid WHERE c.relkind <> 'p' ORDER BY c.oid"""
_FLUSHED = """
SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint AS lsn, 3 * setting::int / 1000.0 ::float8 AS longest
FROM pg_settings WHERE name = 'wal_writer_delay'"""
_MOMENT = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next, pg_is_in_recovery() AS standby,
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0')::bigint
        AS lsn,
    has_function_privilege('pg_control_system()', 'execute')
        AND has_function_privilege('pg_control_checkpoint()', 'execute') AS identified,
    (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database"""


@dataclass(frozen=True)
class Leaf:
    """A table that holds rows in a file of its own."""

    oid: int
    name: str
    kind: str
    filenode: int  # another one after whatever moved its rows: VACUUM FULL, CLUSTER, TRUNCATE, some ALTER TABLE
    blocks: int
    density: float  # rows a block, about


@dataclass(frozen=True)
class Moment:
    """The snapshot of a transaction: those before `xmin` had ended, those from `next` on had not begun."""

    xmin: int
    next: int
    standby: bool
    lsn: int  # bytes of the server's log so far
    cluster: str  # of this server's whole past: transactions of another are counted anew

    @property
    def row_xid(self) -> str:
        """SQL of the transaction that wrote a row, in 64 bits: the newest before `next` that its 32 bits may mean.

        A row keeps its bits when it is frozen, for ever. So where four billion transactions have passed, an old row
        may look like a new one and is read again; a new one never looks old. `age` counts back from one transaction,
        the same throughout ours; by way of text, a bigint of xmin would take the server four times as long.
        """
        since = f"age(xmin)::bigint - (SELECT age('{self.next % EPOCH}'::xid)::bigint)"
        return f"({self.next} - (({since}) & {EPOCH - 1}))"


@dataclass(frozen=True)
class PgTable:
    """A table, a view or whatever else has columns."""

    oid: int
    name: str  # quoted and with its schema
    label: str  # for people
    kind: str  # pg_class.relkind
    columns: dict[str, PgColumn]
    identities: dict[str, str]  # of the columns

    def select(self, wanted: dict[str, ColumnType], infinite: Infinite) -> str:
        """What reads the wanted columns. Raises SourceError for one that is not there or has no such reading."""
        if missing := [f"`{name}`" for name in wanted if name not in self.columns]:
            raise SourceError(
                f"{self.label} lacks the declared column{'s' * (len(missing) > 1)} {', '.join(missing)}. "
                f"Found: {', '.join(self.columns)}. Mend params.yaml, or the table"
            )
        try:
            return select_list(self.columns, wanted, infinite)
        except ValueError as error:
            raise SourceError(f"{self.label}: {error}") from None


def find_table(session: Session, name: str) -> PgTable:
    """The table that `name` means to the server. Raises SourceError that lists the tables there are."""
    found = session.rows(
        "SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind "
        f"FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass({literal(name)})"
    )
    if not found:
        known = session.rows(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1 LIMIT 20"
        )
        names = ", ".join(row["name"] for row in known) or "none that this role may see"
        raise SourceError(f"there is no table `{name}` in the database. Known (up to 20): {names}")
    row = found[0]
    columns = session.rows(_COLUMNS.format(oid=row["oid"]))
    return PgTable(
        oid=row["oid"],
        name=f"{identifier(row['schema'])}.{identifier(row['name'])}",
        label=f"{row['schema']}.{row['name']}",
        kind=row["kind"],
        columns={one["name"]: PgColumn(one["name"], one["type"], one["is_array"]) for one in columns},
        identities={one["name"]: one["identity"] for one in columns},
    )


def find_leaves(session: Session, table: PgTable) -> list[Leaf]:
    """The tables that hold the rows. Raises SourceError where one of them keeps none of its rows' transactions."""
    leaves = [Leaf(**row) for row in session.rows(_LEAVES.format(oid=table.oid))]
    if other := [leaf.name for leaf in leaves if leaf.kind not in ("r", "m")]:
        raise SourceError(
            f"{table.label}: {_names(other)} no table of its own (a view, or a foreign table), whose rows do not say "
            "which transaction wrote them. Name a table, or set `cursor` to a column that only grows"
        )
    return leaves


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    return f"{', '.join(listed)} {'is' if len(listed) == 1 else 'are'}"


def find_moment(session: Session) -> Moment:
    """The snapshot of the transaction that the session is in, and which server's it is."""
    row = session.rows(_MOMENT)[0]
    cluster = str(row["database"])
    if row["identified"]:
        timeline = (
            "(SELECT timeline_id::text FROM pg_control_checkpoint())"
            if row["standby"]
            else "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int::text"
        )
        found = session.rows(f"SELECT system_identifier::text AS id, {timeline} AS timeline FROM pg_control_system()")
        cluster = f"{found[0]['id']}/{found[0]['timeline']}/{cluster}"
    return Moment(row["xmin"], row["next"], row["standby"], row["lsn"] or 0, cluster)


def wait_for_disk(session: Session, moment: Moment) -> None:
    """Return when what the snapshot shows outlives a crash of the server.

    With `synchronous_commit = off` a commit is seen up to three times `wal_writer_delay` before it is on disk. Taken
    back by a crash, it leaves its number to another transaction, whose rows would count as seen.
    """
    begun = time.monotonic()
    while not moment.standby:  # it replays only what its primary has on disk
        flushed = session.rows(_FLUSHED)[0]
        if flushed["lsn"] >= moment.lsn or time.monotonic() - begun > flushed["longest"]:
            return
        time.sleep(0.02)
