"""The trials of a search as MLflow runs below the build's run: one a trial, found by its tag, live while it runs.

What is shown of a trial is always all of it, so that showing it again changes nothing, and what was missed while the
server was away is made up for later from the search's own storage, or from search.json.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evergreen.errors import RegistryError
from evergreen.faults import point
from evergreen.locks import lock
from evergreen.project import Project
from evergreen.registry.server import connected, tracking_uri
from evergreen.registry.tracking import open_run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from evergreen.training.chosen import Trial

TRIAL = "evergreen.trial"  # the tag by which a trial's run is found, `<name>/<build>/<number>`
STATE = "evergreen.state"
_PARENT = "mlflow.parentRunId"

_log = logging.getLogger(__name__)


class Watch:
    """Shows trials of a build; with the server away the trials go on, and each tries again."""

    def __init__(self, project: Project, build: str | None) -> None:
        self._project = project
        self._build = build  # None: nothing is shown
        self._away: int | None = None  # the trial that found it away

    def show(self, trial: Trial) -> None:
        """Show a trial as it is now."""
        if self._build is None or self._away == trial.number:
            return
        try:
            with connected("its trials are shown when the search ends, or by `track`") as client:
                _show(client, self._project, self._build, [trial])
            self._away = None
        except RegistryError as error:
            if self._away is None:
                _log.warning("not shown live: %s", error)
            self._away = trial.number

    def forget(self, number: int) -> None:
        """Take a trial back that did not end."""
        if self._build is None:
            return
        try:
            with connected() as client:
                run = _found(client, f"{self._project.name}/{self._build}").get(number)
                if run is not None:
                    client.delete_run(run.info.run_id)
        except RegistryError as error:
            _log.warning("trial %d did not end and stays in MLflow: %s", number, error)


@contextmanager
def watched(project: Project) -> Iterator[Watch]:
    """Show the trials of EVERGREEN_BUILD; silent outside of a build or without MLFLOW_TRACKING_URI."""
    yield Watch(project, os.environ.get("EVERGREEN_BUILD") if tracking_uri() else None)


def complete(project: Project, trials: Iterable[Trial], build: str | None = None) -> None:
    """Show every trial of a build (default: EVERGREEN_BUILD); those that are shown whole are left as they are.

    Runs of trials that never ended are taken back. Raises RegistryError where the server is away.
    """
    build = build or os.environ.get("EVERGREEN_BUILD")
    if build is None or tracking_uri() is None:
        return
    ended = {trial.number: trial for trial in trials}
    with connected("run it again: only MLflow's runs of the trials are missing") as client:
        _show(client, project, build, ended.values())
        for number, run in _found(client, f"{project.name}/{build}").items():
            if number not in ended:
                client.delete_run(run.info.run_id)


def _show(client: MlflowClient, project: Project, build: str, trials: Iterable[Trial]) -> None:
    parent = client.get_run(open_run(client, project.home, project.name, build))
    with lock(project.home, f"{project.name}/trials"):  # of two that look for a run at once, each would make one
        found = _found(client, f"{project.name}/{build}")
        for trial in trials:
            run = found.get(trial.number)
            if run is not None and run.data.params != _text(trial):  # of a try that was killed; this one is another
                client.delete_run(run.info.run_id)
                run = None
            if run is None:
                run = _opened(client, parent, f"{project.name}/{build}/{trial.number}", trial)
            if run.data.tags.get(STATE) != trial.state or trial.state == "running":
                _fill(client, run, trial, project.params.search.metric_of(project.params.prediction.label.kind))


def _found(client: MlflowClient, build: str) -> dict[int, Run]:
    """The runs of a build's trials, by number."""
    experiment = client.get_experiment_by_name(build.partition("/")[0])
    if experiment is None:
        return {}
    query, runs, token = f"tags.`{TRIAL}` LIKE '{build}/%'", [], None
    while True:
        page = client.search_runs([experiment.experiment_id], query, order_by=["start_time DESC"], page_token=token)
        runs += page
        token = page.token
        if not token:
            return {int(run.data.tags[TRIAL].rpartition("/")[2]): run for run in runs}


def _opened(client: MlflowClient, parent: Run, mark: str, trial: Trial) -> Run:
    from mlflow.entities import Param

    named = "as configured" if trial.number == 0 else f"trial {trial.number}"
    tags = {TRIAL: mark, _PARENT: parent.info.run_id}
    run = client.create_run(parent.info.experiment_id, run_name=named, tags=tags)
    point("trials.opened")
    client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in _text(trial).items()])
    return client.get_run(run.info.run_id)


def _fill(client: MlflowClient, run: Run, trial: Trial, metric: str) -> None:
    from mlflow.entities import Metric, RunTag

    moment = run.info.start_time  # metrics of one moment: logged twice, MLflow keeps them once
    shown = [Metric(f"fold_{metric}", value, moment, fold) for fold, value in enumerate(trial.scores)]
    if trial.score is not None:
        shown.append(Metric(metric, trial.score, moment, 0))
    why = [RunTag("evergreen.why", trial.why)] if trial.why else []
    client.log_batch(run.info.run_id, metrics=shown, tags=why)
    if trial.state != "running":
        client.set_terminated(run.info.run_id, "FAILED" if trial.state == "failed" else "FINISHED")
    client.set_tag(run.info.run_id, STATE, trial.state)


def _text(trial: Trial) -> dict[str, str]:
    """The parameters as MLflow shows them: as JSON, so that null and the text `null` are two."""
    return {key: json.dumps(value) for key, value in trial.parameters.items()}
