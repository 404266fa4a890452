"""What Alembic runs to migrate: in the transaction of the connection that evergreen.ledger.migrations gives it."""

from __future__ import annotations

from alembic import context

from evergreen.ledger.migrations import VERSION_TABLE
from evergreen.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # SQLite's too
)
context.run_migrations()
