"""MLflow runs of expired builds, with their models and versions.

The client only marks a run as deleted. Where the server's database lies in the home, `mlflow gc` then frees the space;
another server's keeper runs it there.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import RegistryError
from evergreen.faults import point
from evergreen.gc.kinds import Item, size_of
from evergreen.gc.scene import Scene
from evergreen.paths import Home
from evergreen.registry.models import CHALLENGER, aliases, find_version
from evergreen.registry.server import connected, tracking_uri, why_unreachable
from evergreen.registry.tracking import BUILD
from evergreen.registry.trials import TRIAL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

THEN = "clean up again"
EXPIRED = "evergreen.expired"  # the tag of a run that a clean-up has marked: the next one erases it, whatever is known
GC_SECONDS = 600


class MlflowRuns:
    """Runs, logged models and registered versions of builds that expired."""

    name = "MLflow runs"
    why = "their builds expired (retention.candidates)"

    def find(self, scene: Scene) -> list[Item]:
        """The runs by id. Raises RegistryError where the server does not answer; nothing where nothing tracks."""
        if tracking_uri() is None:
            return []
        with connected(THEN) as client:
            return [Item(run.info.run_id, _size(scene.home, run)) for run in _runs(client, scene)]

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Mark all as deleted, then free those of the home's own server."""
        wanted = {item.id for item in items}
        with connected(THEN) as client:
            for run in _runs(client, scene):
                if run.info.run_id in wanted:
                    _mark(client, scene.name, run)
                    point("gc.mlflow.marked")
            ours = _rows(scene.home, "select run_uuid from runs where lifecycle_stage = 'deleted'")
            if freed := sorted(wanted & ours):
                _erase(client, scene.home, freed)
        yield from items


def is_away(tracked: bool) -> bool:
    """Whether a server is named and does not answer, or none is named although there are versions (`tracked`)."""
    uri = tracking_uri()
    return tracked if uri is None else why_unreachable(uri) is not None


def challenger(name: str) -> str | None:
    """The build that the alias `challenger` points at; None without one, and where nothing tracks."""
    if tracking_uri() is None or (version := aliases(name).get(CHALLENGER)) is None:
        return None
    with connected(THEN) as client:
        tags = client.get_model_version(name, str(version)).tags
    return str(tags.get(BUILD, "")).rpartition("/")[2] or None


def _runs(client: MlflowClient, scene: Scene) -> list[Run]:
    """The runs of expired builds, and those that a clean-up has marked, where `mlflow gc` can still free them."""
    from mlflow.entities import ViewType

    expired = {f"{scene.name}/{build}" for build in scene.expired()}
    experiment = client.get_experiment_by_name(scene.name)
    if experiment is None:
        return []
    ours = _rows(scene.home, "select run_uuid from runs")
    found, token = [], None
    while True:
        page = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL, page_token=token)
        for run in page:
            marked, tags = run.info.lifecycle_stage == "deleted", run.data.tags
            if (EXPIRED in tags and run.info.run_id in ours) if marked else _build(tags) in expired:
                found.append(run)
        token = page.token
        if not token:
            return sorted(found, key=lambda run: str(run.info.run_id))


def _build(tags: Mapping[str, str]) -> str | None:
    """The build that a run shows, or a trial of."""
    return tags.get(BUILD) or tags.get(TRIAL, "").rpartition("/")[0] or None


def _mark(client: MlflowClient, name: str, run: Run) -> None:
    """Delete the version, the models and the run, in the server's sense; the run last, since it is found by it."""
    if run.info.lifecycle_stage == "deleted":
        return
    client.set_tag(run.info.run_id, EXPIRED, "retention.candidates")
    build = run.data.tags.get(BUILD)  # a trial's run has none
    version = build and find_version(client, name, build.rpartition("/")[2])
    if version is not None:
        client.delete_model_version(name, str(version.version))
        point("gc.mlflow.version")
    source = f"source_run_id = '{run.info.run_id}'"
    for model in client.search_logged_models([run.info.experiment_id], source):
        client.delete_logged_model(model.model_id)
    client.delete_run(run.info.run_id)


def _erase(client: MlflowClient, home: Home, runs: list[str]) -> None:
    """`mlflow gc` for these runs and their models.

    It would erase deleted experiments too, which somebody may want back: while there is one, nothing is erased.
    """
    from mlflow.entities import ViewType

    if client.search_experiments(view_type=ViewType.DELETED_ONLY):
        raise RegistryError(
            "an experiment of MLflow is marked as deleted, and `mlflow gc` would erase it for good: restore it, or run "
            "`mlflow gc` yourself"
        )
    marks = ",".join("?" * len(runs))
    models = _rows(
        home,
        "select model_id from logged_models where lifecycle_stage = 'deleted' and "
        f"(source_run_id in ({marks}) or source_run_id not in (select run_uuid from runs))",  # a killed clean-up's
        runs,
    )
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", f"sqlite:///{_database(home)}"]
    command += ["--run-ids", ",".join(runs)]
    command += ["--logged-model-ids", ",".join(sorted(models))] if models else []
    env = os.environ | {"MLFLOW_TRACKING_URI": tracking_uri() or ""}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=GC_SECONDS, check=False)
    if done.returncode != 0:
        raise RegistryError(f"`mlflow gc` failed, {THEN}:\n{(done.stdout + done.stderr)[-2000:]}")


def _rows(home: Home, query: str, values: Sequence[str] = ()) -> set[str]:
    """Ids in the home's own MLflow database, which the server may be writing; none where it has no such database."""
    if not _database(home).exists():
        return set()
    with closing(sqlite3.connect(f"file:{_database(home)}?mode=ro", uri=True, timeout=30)) as connection:
        return {row[0] for row in connection.execute(query, list(values))}


def _database(home: Home) -> Path:
    return home.mlflow / "mlflow.db"


def _size(home: Home, run: Run) -> int:
    """The bytes of a run's and its models' files, where the server's artifacts lie in the home."""
    folder = home.mlflow / "artifacts" / run.info.experiment_id
    models = _rows(home, "select model_id from logged_models where source_run_id = ?", [run.info.run_id])
    return sum(map(size_of, [folder / run.info.run_id, *(folder / "models" / model for model in models)]))
