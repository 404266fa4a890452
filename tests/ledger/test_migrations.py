"""The ledger's versions: new, old and newer ledgers, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData
from sqlalchemy.exc import IntegrityError

from evergreen.errors import EvergreenError
from evergreen.ledger import Ledger, migrations
from evergreen.ledger.migrations import REVISIONS, VERSION_TABLE
from evergreen.ledger.migrations.versions.v0002_no_replace import KEYS
from evergreen.ledger.tables import locks, metadata
from evergreen.paths import Home
from tests.conftest import ROOT
from tests.ledger.stores import Store, in_home
from tests.ledger.test_store import a_decision, a_promotion

OPEN = "from evergreen.ledger import Ledger; from evergreen.paths import Home; from pathlib import Path; import sys\n"
OPEN += "print(len(Ledger.open(Home(Path(sys.argv[1]))).decisions('small')), 'alembic' in sys.modules)"


def differences(store: Store) -> list[Any]:
    """What Alembic would change to bring the database to what tables.py says."""
    options = {"version_table": VERSION_TABLE}
    with store.connected() as connection:
        wanted = MetaData()
        for table in [*metadata.tables.values(), *([locks] if store.kind == "postgresql" else [])]:
            table.to_metadata(wanted)
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), wanted))


def opened(home: Home, **env: str) -> subprocess.CompletedProcess[str]:
    """Open the ledger in a process of its own."""
    command = [sys.executable, "-c", OPEN, str(home.root)]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False, timeout=120)


def without_versions(store: Store, *tables: str) -> None:
    """Make the ledger one from before there were versions, which had no such `tables` yet."""
    tables += ("locks",) if store.kind == "postgresql" else ()
    for table in (VERSION_TABLE, *tables):
        store.run(f"DROP TABLE {table}")


def test_the_revisions_are_those_of_the_files() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert [one.revision for one in script.walk_revisions()] == list(reversed(REVISIONS))


def test_a_new_ledger_has_the_tables_that_the_code_asks_for(store: Store, ledger: Ledger) -> None:
    assert differences(store) == []
    assert store.rows(f"SELECT version_num FROM {VERSION_TABLE}") == [(REVISIONS[-1],)]


def test_a_ledger_from_before_keeps_its_rows(home: Home, store: Store, ledger: Ledger) -> None:
    promotion = ledger.record_promotion(a_promotion(ledger))
    without_versions(store, "windows", "answers")
    again = Ledger.open(home)
    assert again.champion("small") == promotion
    assert [decision.id for decision in again.decisions("small")] == [promotion.decision]
    assert differences(store) == []
    for table in metadata.tables:
        if table not in ("windows", "answers", "requests"):  # which have no rows that SQLite's triggers would defend
            with pytest.raises(IntegrityError, match="is append-only"):
                store.run(f"DELETE FROM {table}")


def test_the_keys_that_are_never_replaced_are_all_that_the_tables_have(home: Home) -> None:
    Ledger.open(home)
    with closing(sqlite3.connect(home.ledger)) as db:
        for table in metadata.sorted_tables:
            unique = [name for _, name, is_unique, *_ in db.execute(f"PRAGMA index_list({table})") if is_unique]
            found = {tuple(row[2] for row in db.execute(f"PRAGMA index_info({name})")) for name in unique}
            assert found | {("seq",)} & set(KEYS[table.name]) == set(KEYS[table.name])
        assert set(KEYS) == set(metadata.tables)


def test_the_ledger_of_the_oldest_home_keeps_its_rows(home: Home, tmp_path: Path) -> None:
    place = "clone/.evergreen/ledger.db"
    with tarfile.open(ROOT / "tests" / "homes" / "format-1.tar.xz") as packed:
        packed.extract(place, tmp_path, filter="data")
    home.root.mkdir()
    (tmp_path / place).rename(home.ledger)
    before = dump(home.ledger)
    ledger = Ledger.open(home)
    assert {name: rows for name, rows in dump(home.ledger).items() if name != VERSION_TABLE} == before
    assert differences(in_home(home)) == []
    assert ledger.record_decision(a_decision()).id == "gate-small-b1"


def dump(ledger: Path) -> dict[str, list[Any]]:
    """Every table's rows."""
    with closing(sqlite3.connect(ledger)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names}


def test_a_newer_ledger_is_refused_and_left_alone(home: Home, store: Store, ledger: Ledger) -> None:
    store.run(f"UPDATE {VERSION_TABLE} SET version_num = '0099'")
    said = f"is of version 0099, written by a newer Evergreen; this code knows versions up to {REVISIONS[-1]}. Nothing "
    with pytest.raises(EvergreenError, match=said):
        Ledger.open(home)
    assert store.rows(f"SELECT version_num FROM {VERSION_TABLE}") == [("0099",)]


def test_killed_while_it_migrates_it_is_what_it_was(home: Home, store: Store, ledger: Ledger) -> None:
    ledger.record_decision(a_decision())
    without_versions(store, "windows")
    assert opened(home, EVERGREEN_KILL_AT="ledger.migrated").returncode == -signal.SIGKILL
    names = {"sqlite": "SELECT name FROM sqlite_master", "postgresql": "SELECT tablename FROM pg_tables"}[store.kind]
    assert not {(VERSION_TABLE,), ("windows",)} & set(store.rows(names))
    assert opened(home).stdout.split() == ["1", "True"], "the next one migrates"
    assert differences(store) == []


def test_alembic_is_imported_only_to_migrate(home: Home, store: Store, ledger: Ledger) -> None:
    assert opened(home).stdout.split() == ["0", "False"]
