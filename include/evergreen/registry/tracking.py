"""A build's MLflow run: one, found or made, and shown live while the build trains."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evergreen.errors import RegistryError
from evergreen.faults import point
from evergreen.locks import lock
from evergreen.paths import Home
from evergreen.project import Project
from evergreen.registry.server import connected, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Without it MLflow 3 opens a new experiment as one of generative AI.
EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}
BUILD = "evergreen.build"  # the tag by which a build's run and version are found, `<name>/<build>`

_log = logging.getLogger(__name__)


class Live:
    """Shows a running stage in MLflow; the first call opens the run, and a failure ends the showing, not the stage."""

    def __init__(self, project: Project, build: str | None) -> None:
        self._project = project
        self._build = build  # None: nothing is shown
        self._run: str | None = None

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Log metrics now; those without a finite value are left out."""
        self._show(metrics={key: value for key, value in values.items() if value is not None}, step=step or 0)

    def stage(self, text: str) -> None:
        """Say what is being done, as the run's tag `evergreen.stage`."""
        self._show(tags={"evergreen.stage": text})

    def failed(self) -> None:
        """Mark an opened run as failed; a retry resumes it."""
        self._show(status="FAILED") if self._run else None

    def _show(
        self,
        metrics: Mapping[str, float] | None = None,
        step: int = 0,
        tags: Mapping[str, str] | None = None,
        status: str | None = None,
    ) -> None:
        if self._build is None:
            return
        try:
            with connected("the task `track` completes the run") as client:
                if self._run is None:
                    self._run = open_run(client, self._project.home, self._project.name, self._build)
                _log_batch(client, self._run, metrics or {}, step, tags or {})
                if status:
                    client.update_run(self._run, status=status)
        except RegistryError as error:
            self._build = None
            _log.warning("not shown live: %s", error)


@contextmanager
def live(project: Project) -> Iterator[Live]:
    """Show a stage in the MLflow run of EVERGREEN_BUILD; silent outside of a build or without MLFLOW_TRACKING_URI.

    With the server away there is one warning and the stage goes on: `track` completes the run afterwards.
    """
    watch = Live(project, os.environ.get("EVERGREEN_BUILD") if tracking_uri() else None)
    try:
        yield watch
    except BaseException:
        watch.failed()
        raise


def open_run(client: MlflowClient, home: Home, name: str, build: str) -> str:
    """The id of the build's run, running: found by its tag, or made; under a lock, so that racers make one."""
    with lock(home, f"{name}/mlflow"):
        experiment = client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise RegistryError(
                f"the MLflow experiment `{name}` was deleted: restore it (`mlflow experiments restore "
                f"--experiment-id {experiment.experiment_id}`)"
            )
        place = experiment.experiment_id if experiment is not None else client.create_experiment(name, tags=EXPERIMENT)
        found = find_run(client, name, build)
        if found is None:
            point("run.missing")
            found = client.create_run(place, run_name=build, tags={BUILD: f"{name}/{build}"})
            point("run.opened")
        if found.info.status != "RUNNING":
            client.update_run(found.info.run_id, status="RUNNING")
        return str(found.info.run_id)


def find_run(client: MlflowClient, name: str, build: str) -> Run | None:
    """The build's run; the oldest, should somebody have copied it."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None
    runs = client.search_runs(
        [experiment.experiment_id], f"tags.`{BUILD}` = '{name}/{build}'", max_results=1, order_by=["start_time ASC"]
    )
    return runs[0] if runs else None


def run_url(name: str, build: str) -> str | None:
    """Where the build's run is looked at; None where nothing tracks, it was not opened, or the server is away."""
    if tracking_uri() is None:
        return None
    try:
        with connected() as client:
            run = find_run(client, name, build)
            return None if run is None else url_of(run.info.experiment_id, run.info.run_id)
    except RegistryError as error:
        _log.warning("no link to the MLflow run: %s", error)
        return None


def url_of(experiment: str, run: str) -> str:
    """The page of a run, at the address that people's browsers know: EVERGREEN_MLFLOW_URL, else that of the loop."""
    server = os.environ.get("EVERGREEN_MLFLOW_URL") or tracking_uri() or ""
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs/{run}"


def _log_batch(
    client: MlflowClient, run: str, metrics: Mapping[str, float], step: int, tags: Mapping[str, str]
) -> None:
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    shown = [Metric(key, float(value), now, step) for key, value in metrics.items() if math.isfinite(value)]
    if shown or tags:
        client.log_batch(run, metrics=shown, tags=[RunTag(key, value) for key, value in tags.items()])
