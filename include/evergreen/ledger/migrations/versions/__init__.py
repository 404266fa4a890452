"""One file a revision, read by Alembic."""
