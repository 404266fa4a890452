"""Fixtures: a home whose ledger is in its own file, and one whose ledger is in a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from evergreen.ledger import Ledger
from evergreen.paths import Home
from tests.ledger.stores import KINDS, Store, in_home, in_postgres


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, home: Home, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Where the ledger of `home` will be."""
    if request.param == "sqlite":
        home.root.mkdir()
        return in_home(home)
    store = in_postgres(request.getfixturevalue("postgres_server"))
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", store.url.replace("+psycopg", ""))  # as a user writes it
    return store


@pytest.fixture
def ledger(home: Home, store: Store) -> Ledger:
    return Ledger.open(home)
