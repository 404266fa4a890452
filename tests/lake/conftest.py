"""Every test of the lake runs on both stores."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _each_store(each_store: None) -> None:
    """Also where a test does not ask for it."""
