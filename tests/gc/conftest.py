"""The world of builds, a copy for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gc.world import World, open_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A clone with builds of all fates."""
    return open_world(tmp_path)
