"""Trials in MLflow: below the build's run, live, once each, and made up for when the server was away."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from evergreen.errors import RegistryError
from evergreen.project import Project
from evergreen.registry.tracking import find_run
from evergreen.registry.trials import STATE, TRIAL, complete, watched
from evergreen.stages.search import search
from evergreen.training.chosen import SearchRecord, Trial
from tests.search.conftest import with_search
from tests.servers import free_port
from tests.synthetic import write_features

BUILD = "20240211T0500-0123abc"
SECTION = "{method: grid, space: {max_leaf_nodes: [1, 7, 15]}}"

MakeNamed = Callable[[str], Project]


@pytest.fixture
def client(mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of the session's server, inside of a build."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("EVERGREEN_BUILD", BUILD)
    return MlflowClient(mlflow_uri)


@pytest.fixture
def named(make_project: Callable[..., Project]) -> MakeNamed:
    """Make a project with something to search, of a name that no other test uses."""

    def make(name: str) -> Project:
        project = make_project(with_search(SECTION, name))
        write_features(project)
        return project

    return make


def runs(client: MlflowClient, name: str) -> dict[str, Run]:
    """The runs of the trials, by the end of their tag; all others as well."""
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id])
    assert len({run.data.tags.get(TRIAL) for run in found}) == len(found), "one a trial, and the build's"
    return {run.data.tags.get(TRIAL, "").rpartition("/")[2]: run for run in found}


def as_told(run: Run) -> tuple[str, dict[str, str], dict[str, float]]:
    """What a run shows of its trial."""
    return run.data.tags[STATE], run.data.params, run.data.metrics


def test_a_search_is_shown_below_its_build_one_run_a_trial(client: MlflowClient, named: MakeNamed) -> None:
    project = named("searched")
    search(project)
    found = runs(client, "searched")
    assert set(found) == {"", "0", "1", "2", "3"}
    parent = find_run(client, "searched", BUILD)
    assert parent is not None
    trials = SearchRecord.read(project.search).trials
    for trial in trials:
        run = found[str(trial.number)]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == ("FAILED" if trial.state == "failed" else "FINISHED")
        assert run.data.metrics.get("log_loss") == trial.score
        history = client.get_metric_history(run.info.run_id, "fold_log_loss")
        assert [(point.step, point.value) for point in history] == list(enumerate(trial.scores))
    assert found["1"].data.tags["evergreen.why"].startswith("ParamsError")
    assert found["2"].data.params == {"max_leaf_nodes": "7"}
    before = {number: (run.info.run_id, run.data) for number, run in found.items()}
    search(project)
    complete(project, trials)
    assert {n: run.info.run_id for n, run in runs(client, "searched").items()} == {n: i for n, (i, _) in before.items()}


def test_a_trial_is_seen_while_it_runs_and_a_killed_one_s_run_goes(client: MlflowClient, named: MakeNamed) -> None:
    project = named("live")
    with watched(project) as watch:
        watch.show(Trial(number=1, parameters={"max_leaf_nodes": 7}, state="running"))
        watch.show(Trial(number=1, parameters={"max_leaf_nodes": 7}, state="running", scores=(0.5,)))
        run = runs(client, "live")["1"]
        assert (run.info.status, as_told(run)) == (
            "RUNNING",
            ("running", {"max_leaf_nodes": "7"}, {"fold_log_loss": 0.5}),
        )
        # Killed here; Optuna gives the one that is run in its place other values.
        other = Trial(number=1, parameters={"max_leaf_nodes": 9}, state="complete", scores=(0.5, 0.7), score=0.6)
        watch.show(other)
        watch.show(Trial(number=2, state="running"))
    complete(project, [other])
    found = runs(client, "live")
    assert set(found) == {"", "1"}
    assert as_told(found["1"]) == ("complete", {"max_leaf_nodes": "9"}, {"fold_log_loss": 0.7, "log_loss": 0.6})


def test_with_the_server_away_nothing_is_lost_and_nothing_is_there_twice(
    client: MlflowClient, named: MakeNamed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project = named("unseen")
    with monkeypatch.context() as away, caplog.at_level(logging.WARNING):
        away.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        assert search(project).ended == 4
        with pytest.raises(RegistryError, match="does not answer"):
            complete(project, SearchRecord.read(project.search).trials)
    assert caplog.text.count("not shown live") == 1
    assert "the trials are not all in MLflow yet" in caplog.text
    for _ in range(2):
        complete(project, SearchRecord.read(project.search).trials, BUILD)
    found = runs(client, "unseen")
    for trial in SearchRecord.read(project.search).trials:
        assert as_told(found[str(trial.number)])[0] == trial.state
        assert found[str(trial.number)].data.metrics.get("log_loss") == trial.score
        folds = client.get_metric_history(found[str(trial.number)].info.run_id, "fold_log_loss")
        assert [point.value for point in folds] == list(trial.scores)


def test_silent_outside_of_a_build(client: MlflowClient, named: MakeNamed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVERGREEN_BUILD")
    search(named("by_hand"))
    assert client.get_experiment_by_name("by_hand") is None
