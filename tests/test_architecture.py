"""The rules of the house that a reader cannot be asked to check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

LIBRARY = sorted((ROOT / "include" / "evergreen").rglob("*.py"))
WIRING = sorted([*(ROOT / "dags").glob("*.py"), *(ROOT / "plugins").glob("*.py")])
HEAVY = {"pandas", "numpy", "sklearn", "mlflow", "evidently", "great_expectations", "duckdb", "ibis", "pyarrow", "dvc"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_imports_no_airflow_and_knows_no_flight(path: Path) -> None:
    assert "airflow" not in imported(path)
    assert not re.search(r"flight|nycflights|carrier", path.read_text(), re.IGNORECASE)


@pytest.mark.parametrize("path", [*LIBRARY, *WIRING], ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 250, "has it still one subject?"


@pytest.mark.parametrize("path", WIRING, ids=lambda path: path.name)
def test_wiring_imports_nothing_heavy(path: Path) -> None:
    assert not imported(path) & HEAVY


def test_reading_params_imports_nothing_heavy() -> None:
    code = "import sys; import evergreen.cli, evergreen.project; print(*{m.split('.')[0] for m in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & HEAVY
