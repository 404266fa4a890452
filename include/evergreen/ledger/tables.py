"""The ledger's tables. Types are those that every database has: integers and text (JSON and times too).

The database gets them by migrations/, whose last revision agrees with what is said here.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

decisions = Table(
    "decisions", metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("build", Text),
    Column("as_of", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("evidence", Text),
    Column("actor", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)  # fmt: skip

# `number` counts a use case's promotions from 1: of two writers that read the same champion, one inserts.
promotions = Table(
    "promotions", metadata,
    Column("seq", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("build", Text, nullable=False),
    Column("version", Integer),
    Column("bundle", Text, nullable=False),
    Column("cutoff", Text, nullable=False),
    Column("as_of", Text, nullable=False),
    Column("decision", Text, ForeignKey("decisions.id"), nullable=False, unique=True),
    Column("previous_build", Text),
    Column("created_at", Text, nullable=False),
    UniqueConstraint("name", "number"),
)  # fmt: skip

requests = Table(
    "requests", metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False, index=True),
    Column("as_of", Text, nullable=False),
    Column("raised_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("build", Text),
    Column("created_at", Text, nullable=False),
)  # fmt: skip

answers = Table(
    "answers", metadata,
    Column("request", Text, ForeignKey("requests.id"), primary_key=True),
    Column("decision", Text, ForeignKey("decisions.id"), nullable=False),
    Column("created_at", Text, nullable=False),
)  # fmt: skip

windows = Table(
    "windows", metadata,
    Column("name", Text, primary_key=True),
    Column("build", Text, primary_key=True),
    Column("end", Text, primary_key=True),
    Column("record", Text, nullable=False),
    Column("created_at", Text, nullable=False),
)  # fmt: skip

# Who holds which lock now. No part of what the ledger promises: its rows come and go, and only PostgreSQL has it, since
# locks are files where the ledger is one.
locks = Table(
    "locks", MetaData(),
    Column("token", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("host", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", BigInteger),
    Column("what", Text, nullable=False),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)  # fmt: skip
Index("ix_locks_name", locks.c.name)
Index("locks_one_alone", locks.c.name, unique=True, postgresql_where=~locks.c.shared)
