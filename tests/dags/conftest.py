"""A real Airflow in a folder of its own: its settings must stand before anything of it is imported."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

_HOME = tempfile.TemporaryDirectory(prefix="evergreen-airflow-")
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "false",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
}
sys.path[:0] = [str(ROOT / "dags"), str(ROOT / "plugins")]


@pytest.fixture(scope="session")
def airflow_home() -> Iterator[Path]:
    """Airflow's home with a migrated database."""
    from airflow.utils.db import initdb

    initdb()
    yield Path(_HOME.name)
    _HOME.cleanup()


@pytest.fixture(scope="session")
def dagbag() -> DagBag:
    """Every DAG of this repository, parsed."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(ROOT / "dags")
