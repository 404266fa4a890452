"""A real MLflow server whose state can be put back while it runs, and what it holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tests.faults.content import mirror, short_hash
from tests.servers import mlflow_server


class Mlflow:
    """A real server whose state can be put back while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.uri = folder, ""
        folder.mkdir()
        self._stack = ExitStack()

    def start(self) -> None:
        """Start it, on a port of its own each time."""
        self.uri = self._stack.enter_context(mlflow_server(self.folder))

    def stop(self) -> None:
        """Kill it; nobody answers at `uri` from now on."""
        self._stack.close()
        self.uri = ""

    def save(self, state: Path) -> None:
        """Copy database and artifacts."""
        self._backup(self.folder / "mlflow.db", state / "mlflow.db")
        (self.folder / "artifacts").mkdir(exist_ok=True)
        mirror(self.folder / "artifacts", state / "artifacts")

    def restore(self, state: Path) -> None:
        """Put back what `save` copied."""
        self._backup(state / "mlflow.db", self.folder / "mlflow.db")
        mirror(state / "artifacts", self.folder / "artifacts")

    def content(self) -> dict[str, str]:
        """Runs, versions and aliases by what they say; ids and times are the server's own."""
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as db:
            db.row_factory = sqlite3.Row
            return {f"mlflow {place}": text for place, text in self._told(db)}

    def _told(self, db: sqlite3.Connection) -> Iterator[tuple[str, str]]:
        for number, run in enumerate(db.execute("select * from runs order by start_time").fetchall()):
            for place, text in self._run(db, run["run_uuid"]):
                yield f"run {number} {run['name']} {place}", text
            yield f"run {number} {run['name']}", f"{run['status']} {run['lifecycle_stage']}"
        for name, version, stage in _all(db, "select name, version, current_stage from model_versions"):
            tags = _all(db, "select key, value from model_version_tags where name = ? and version = ?", name, version)
            told = [tag for tag in tags if tag[0] != "evergreen.twin"]
            yield f"version {name} {version}", f"{stage} {told}"
        for alias, version, name in _all(db, "select alias, version, name from registered_model_aliases"):
            yield f"alias {name} {alias}", str(version)

    def _run(self, db: sqlite3.Connection, id_: str) -> Iterator[tuple[str, str]]:
        for key, value in _all(db, "select key, value from tags where run_uuid = ?", id_):
            if key not in ("mlflow.user", "mlflow.log-model.history"):
                yield f"tag {key}", value
        for key, value in _all(db, "select key, value from params where run_uuid = ?", id_):
            yield f"param {key}", value
        for key, step, value in _all(db, "select distinct key, step, value from metrics where run_uuid = ?", id_):
            yield f"metric {key} {step}", repr(value)
        models = "select name, status from logged_models where source_run_id = ? and lifecycle_stage = 'active'"
        yield "models", str(_all(db, models, id_))
        yield "inputs", str(_all(db, "select count(*) from inputs where destination_id = ?", id_))
        folder = next((self.folder / "artifacts").glob(f"*/{id_}/artifacts"), None)
        for file in sorted(folder.rglob("*")) if folder else []:
            if file.is_file():
                yield f"artifact {file.relative_to(folder)}", short_hash(file.read_bytes())

    def _backup(self, source: Path, target: Path) -> None:
        with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target, timeout=60)) as write:
            read.backup(write)


def _all(db: sqlite3.Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in db.execute(query, values).fetchall())
