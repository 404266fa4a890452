"""SQLite: `INSERT OR REPLACE` is refused too. It takes a row away without asking the triggers that guard removal."""

from __future__ import annotations

from evergreen.ledger.migrations.append_only import never_replaced

revision, down_revision = "0002", "0001"

KEYS = {  # each table's keys; a new row that has one of them is none
    "decisions": (("seq",), ("id",)),
    "promotions": (("seq",), ("decision",), ("name", "number")),
    "requests": (("seq",), ("id",)),
    "answers": (("request",),),
    "windows": (("name", "build", "end"),),
}


def upgrade() -> None:
    """Refuse a row whose key is taken, before any clause of the statement may say otherwise."""
    for table, keys in KEYS.items():
        never_replaced(table, keys)
