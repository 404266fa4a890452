"""Fixtures of the sources that have a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evergreen.project import Project
from tests.servers import PostgresServer
from tests.sources.postgres_worlds import MakeWorld, World


@pytest.fixture
def make_world(
    postgres_server: PostgresServer,
    make_project: Callable[..., Project],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeWorld:
    """Make a table in the session's PostgreSQL and a project that reads it, with the given options."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", postgres_server.uri)
    return lambda **options: World(postgres_server, make_project, tmp_path / "project", **options)
