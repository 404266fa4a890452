"""Fixtures: a home whose locks are files, or rows of a real PostgreSQL; and processes that hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from evergreen.paths import Home
from tests.ledger.stores import KINDS, Store, in_home, in_postgres
from tests.locks.holding import Holding
from tests.servers import PostgresServer

Hold = Callable[..., Holding]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    return home


@pytest.fixture
def rows(postgres_server: PostgresServer, home: Home, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The locks of `home` are rows of this database, which has no ledger yet."""
    store = in_postgres(postgres_server)
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", store.url)
    return store


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, home: Home) -> Store:
    """Where the ledger of `home` is, and its locks with it."""
    found: Store = in_home(home) if request.param == "sqlite" else request.getfixturevalue("rows")
    return found


@pytest.fixture
def hold(home: Home) -> Iterator[Hold]:
    """Start a process that takes a lock of `home`."""
    with ExitStack() as started:

        def start(kind: str = "lock", **env: str) -> Holding:
            holding = Holding(home, kind, **env)
            started.callback(_end, holding)
            return holding

        yield start


def _end(holding: Holding) -> None:
    holding.kill()
    with suppress(ValueError):  # it has ended, and its streams are closed
        holding.end()
