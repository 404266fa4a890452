"""What `make restore` refuses before it touches the stack. The way there and back is tests/compose/test_restore.py."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BACKUP = Path(__file__).parents[2] / "deploy" / "backup.py"
PARTS = ("airflow.dump", "evergreen.dump", "mlflow.dump", "evergreen.tar", "mlflow.tar")
Harm = Callable[[Path], object]


def refused(backup: Path) -> str:
    """What `make restore` says, for a stack that it must not come to."""
    command = [sys.executable, BACKUP, "restore", backup]
    environment = os.environ | {"COMPOSE": "/nowhere"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    return run.stderr


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """One whose parts are all there."""
    for name in PARTS:
        (tmp_path / name).write_text(name)
    owners = {"airflow": "airflow", "evergreen": "evergreen_owner", "mlflow": "mlflow"}
    change(tmp_path, format=1, databases=owners, roles=[*owners.values()], fernet_key="abc")
    parts = {name: {"sha256": hashlib.sha256(name.encode()).hexdigest()} for name in PARTS}
    change(tmp_path, parts=parts)
    return tmp_path


def change(backup: Path, **facts: object) -> None:
    """Write facts into its manifest."""
    path = backup / "manifest.json"
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | facts))


def without(backup: Path, part: str) -> None:
    """Take a part away, and out of the manifest."""
    (backup / part).unlink()
    parts = json.loads((backup / "manifest.json").read_text())["parts"]
    change(backup, parts={name: value for name, value in parts.items() if name != part})


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda backup: (backup / "mlflow.dump").write_text("mlflow.dumq"), "mlflow.dump is missing or is not what it"),
        (lambda backup: (backup / "mlflow.tar").unlink(), "mlflow.tar is missing or is not what it was"),
        (lambda backup: without(backup, "mlflow.tar"), "has no mlflow.tar, so it is not whole; nothing was changed"),
        (lambda backup: without(backup, "evergreen.dump"), "has no evergreen.dump, so it is not whole"),
        (lambda backup: (backup / "manifest.json").write_text('{"format": 1, '), "manifest.json is not what it was"),
        *(
            (lambda backup, text=text: (backup / "manifest.json").write_text(text), "manifest.json is not what it was")
            for text in ("", "[]", '{"format": 1}', '{"format": 1, "databases": null, "parts": []}')
        ),
        *(
            (lambda backup, lost=lost: change(backup, **lost), "manifest.json is not what it was")
            for lost in ({"roles": []}, {"databases": {}}, {"parts": []}, {"parts": {"mlflow.tar": {}}})
        ),
        (lambda backup: (backup / "manifest.json").unlink(), "has no manifest.json, so it is no backup"),
        (lambda backup: change(backup, format=2), "is of format 2; this is for format 1"),
    ],
)
def test_a_harmed_one_is_refused_in_a_sentence(backup: Path, harm: Harm, told: str) -> None:
    harm(backup)
    said = refused(backup)
    assert said.startswith("restore: ")
    assert told in said


def test_a_file_is_no_backup(backup: Path) -> None:
    assert "has no manifest.json, so it is no backup" in refused(backup / "mlflow.dump")


def test_a_whole_one_is_brought_to_the_stack(backup: Path) -> None:
    assert "/nowhere" in refused(backup)
