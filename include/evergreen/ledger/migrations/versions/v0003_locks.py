"""PostgreSQL: the table whose rows are the locks of all hosts. Its rows come and go, so whoever may record may do that.

A ledger in a file has no such table: its locks are files too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"

_MOMENT = sa.DateTime(timezone=True)
# Whoever may add decisions, but for the owner; 0 is everyone.
_RECORDERS = """
    SELECT DISTINCT CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(granted.grantee)) END
    FROM pg_class AS found, aclexplode(found.relacl) AS granted
    WHERE found.oid = 'decisions'::regclass AND granted.privilege_type = 'INSERT' AND granted.grantee <> found.relowner
"""


def upgrade() -> None:
    """Make the table, and let those use it who record."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.create_table(
        "locks",
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.BigInteger),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("taken_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_locks_name", "locks", ["name"])
    # Whatever else goes wrong, the database itself never has two that hold a lock alone.
    op.create_index("locks_one_alone", "locks", ["name"], unique=True, postgresql_where=sa.text("NOT shared"))
    for role in op.get_bind().execute(sa.text(_RECORDERS)).scalars():
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON locks TO {role}")
