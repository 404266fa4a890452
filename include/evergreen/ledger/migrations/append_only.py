"""The promise of append-only is kept by the database itself: triggers refuse whatever changes or removes a row."""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

_FUNCTION = """
CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def append_only(table: str) -> None:
    """Let rows be added to `table` and nothing else, on SQLite and PostgreSQL; again, it changes nothing."""
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER IF NOT EXISTS {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    elif dialect == "postgresql":
        op.execute(_FUNCTION)
        op.execute(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}")
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()"
        )


def never_replaced(table: str, keys: Sequence[Sequence[str]]) -> None:
    """Refuse a row whose key is taken also to `INSERT OR REPLACE`, which only SQLite has; again, it changes nothing."""
    if op.get_bind().dialect.name == "sqlite":
        same = [" AND ".join(f'"{column}" = NEW."{column}"' for column in key) for key in keys]
        op.execute(
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {' OR '.join(same)}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only, and has a row by this key'); END"
        )
