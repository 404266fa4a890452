"""The ledger's versions: what its tables have been, and how they became so, by Alembic.

A change of tables.py needs a file in versions/, named after its revision, and that revision at the end of REVISIONS.
Existing rows stay as they are: no migration updates or deletes one, and each table of records stays append-only.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select

# Oldest first; Alembic is imported only where the ledger is not at the last of them.
REVISIONS = ("0001", "0002", "0003")
VERSION_TABLE = "ledger_version"
_ADVISORY = 6_872_413_590_021  # of PostgreSQL's locks by number, the one that migrating takes
_version = Table(VERSION_TABLE, MetaData(), Column("version_num", Text))


def version_of(connection: Connection) -> str | None:
    """The revision that the ledger is of; None for an empty database, and for a ledger from before there were any."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(_version.c.version_num)).scalar_one_or_none()


def migrate(connection: Connection) -> None:
    """Bring the ledger to the last revision, within the connection's transaction: all of it or nothing.

    SQLite's write lock is held by the transaction already; on PostgreSQL, others who migrate wait until it ends.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY})")
    if version_of(connection) == REVISIONS[-1]:
        return  # by whoever was faster
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
