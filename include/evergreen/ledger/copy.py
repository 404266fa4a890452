"""From the file in the home to the database that EVERGREEN_LEDGER_URL names: all rows, in the order of recording."""

from __future__ import annotations

from sqlalchemy import insert, select

from evergreen.errors import EvergreenError
from evergreen.ledger.engine import bring_up, connect, reading, writing
from evergreen.ledger.migrations import version_of
from evergreen.ledger.tables import metadata
from evergreen.ledger.url import file_url, ledger_url, shown
from evergreen.paths import Home


def copy_ledger(home: Home) -> dict[str, int]:
    """Copy every use case's rows, or none; table to rows. The file stays as it is.

    Raises EvergreenError where there is no file, where no other database is named, and where that has rows already.
    """
    url = ledger_url(home)
    if url.database == str(home.ledger):
        raise EvergreenError("EVERGREEN_LEDGER_URL does not name another database than the file in the home: set it")
    if not home.ledger.exists():
        raise EvergreenError(f"there is no {home.ledger} to copy")
    source, target = connect(file_url(home)), connect(url)
    for engine in (source, target):
        with reading(engine) as connection:
            version = version_of(connection)
        bring_up(home, engine, version)
    copied = {}
    with reading(source) as old, writing(target) as new:
        for table in metadata.sorted_tables:
            if new.execute(select(table).limit(1)).first():
                raise EvergreenError(f"{shown(url)} has rows in `{table.name}` already: nothing was copied")
            rows = [dict(row) for row in old.execute(select(table).order_by(*table.primary_key)).mappings()]
            for row in rows:
                row.pop("seq", None)  # the database counts by itself, also afterwards
            if rows:
                new.execute(insert(table), rows)
            copied[table.name] = len(rows)
    return copied
