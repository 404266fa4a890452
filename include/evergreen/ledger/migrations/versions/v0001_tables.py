"""The tables as they were when versions began.

A ledger from before has them, or those of them that its code knew, and keeps every row; what it lacks is made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

from evergreen.ledger.migrations.append_only import append_only

revision, down_revision = "0001", None


def upgrade() -> None:
    """Make the tables that are missing, and each append-only."""
    there = set(sa.inspect(op.get_bind()).get_table_names())
    for name, (columns, indexed) in _tables().items():
        if name not in there:
            op.create_table(name, *columns)
            for column in indexed:
                op.create_index(f"ix_{name}_{column}", name, [column])
        append_only(name)


def _tables() -> dict[str, tuple[list[SchemaItem], list[str]]]:
    """Name to columns, with keys, and the columns that have an index."""
    return {
        "decisions": ([
            sa.Column("seq", sa.Integer, primary_key=True), *_texts("id", "name", "kind"), _maybe("build"),
            *_texts("as_of", "verdict", "reason", "inputs"), _maybe("evidence"), *_texts("actor", "created_at"),
            sa.UniqueConstraint("id"),
        ], ["name"]),
        "promotions": ([
            sa.Column("seq", sa.Integer, primary_key=True), *_texts("name"),
            sa.Column("number", sa.Integer, nullable=False), *_texts("build"), sa.Column("version", sa.Integer),
            *_texts("bundle", "cutoff", "as_of", "decision"), _maybe("previous_build"), *_texts("created_at"),
            sa.ForeignKeyConstraint(["decision"], ["decisions.id"]), sa.UniqueConstraint("decision"),
            sa.UniqueConstraint("name", "number"),
        ], []),
        "requests": ([
            sa.Column("seq", sa.Integer, primary_key=True),
            *_texts("id", "name", "as_of", "raised_by", "reason", "evidence"), _maybe("build"), *_texts("created_at"),
            sa.UniqueConstraint("id"),
        ], ["name"]),
        "answers": ([
            *_texts("request", "decision", "created_at"), sa.PrimaryKeyConstraint("request"),
            sa.ForeignKeyConstraint(["request"], ["requests.id"]),
            sa.ForeignKeyConstraint(["decision"], ["decisions.id"]),
        ], []),
        "windows": ([
            *_texts("name", "build", "end", "record", "created_at"), sa.PrimaryKeyConstraint("name", "build", "end"),
        ], []),
    }  # fmt: skip


def _texts(*names: str) -> list[SchemaItem]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _maybe(name: str) -> SchemaItem:
    return sa.Column(name, sa.Text)
