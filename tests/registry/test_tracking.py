"""Showing a stage live: one run a build, silent where nothing tracks, and never in the way."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from mlflow import MlflowClient

from evergreen.errors import RegistryError
from evergreen.ledger import Promotion
from evergreen.project import Project
from evergreen.registry.models import aliases, apply_aliases, version_of_build
from evergreen.registry.tracking import find_run, live, open_run, run_url
from tests.conftest import SMALL
from tests.servers import free_port

BUILD = "20240211T0500-0123abc"
MOMENT = datetime(2024, 2, 11, 5, tzinfo=UTC)


@pytest.fixture
def client(mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of the session's server, inside of a build."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("EVERGREEN_BUILD", BUILD)
    return MlflowClient(mlflow_uri)


@pytest.fixture
def named(make_project: Callable[..., Project]) -> Callable[[str], Project]:
    """Make a project of a name that no other test uses, since all share one server."""
    return lambda name: make_project(SMALL.replace("name: small", f"name: {name}"))


def test_a_stage_is_shown_while_it_runs(client: MlflowClient, named: Callable[[str], Project]) -> None:
    project = named("shown")
    with live(project) as watch:
        assert run_url("shown", BUILD) is None, "nothing is opened before there is something to show"
        watch.stage("train")
        watch.metrics({"fold_log_loss": 0.5, "undefined": None, "endless": float("inf")}, step=2)
        run = find_run(client, "shown", BUILD)
        assert run is not None
        assert run.info.status == "RUNNING"
        assert run.data.metrics == {"fold_log_loss": 0.5}
        assert run.data.tags["evergreen.stage"] == "train"
        assert client.get_metric_history(run.info.run_id, "fold_log_loss")[0].step == 2
    with pytest.raises(ZeroDivisionError):
        _show_and_fail(project)
    failed = find_run(client, "shown", BUILD)
    assert failed is not None
    assert (failed.info.run_id, failed.info.status) == (run.info.run_id, "FAILED")
    assert open_run(client, project.home, "shown", BUILD) == run.info.run_id
    assert client.get_run(run.info.run_id).info.status == "RUNNING"
    assert (
        run_url("shown", BUILD)
        == f"{client.tracking_uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    )


def _show_and_fail(project: Project) -> None:
    with live(project) as watch:
        watch.metrics({"rows": 1.0})
        watch.metrics({"rows": 1 / 0})


def test_racers_open_one_run(client: MlflowClient, named: Callable[[str], Project]) -> None:
    project = named("opened")
    code = (
        "import sys; from evergreen.project import Project; from evergreen.registry.tracking import live\n"
        "with live(Project.load(sys.argv[1])) as watch: watch.metrics({'rows': 1.0})"
    )
    racers = [subprocess.Popen([sys.executable, "-c", code, str(project.root)]) for _ in range(3)]
    assert [racer.wait() for racer in racers] == [0, 0, 0]
    experiment = client.get_experiment_by_name("opened")
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_silent_where_nothing_tracks(named: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch) -> None:
    project = named("silent")
    code = (
        "import sys; from evergreen.project import Project; from evergreen.registry.tracking import live\n"
        "with live(Project.load(sys.argv[1])) as watch: watch.metrics({'rows': 1.0}); watch.stage('train')\n"
        "assert 'mlflow' not in sys.modules"
    )
    for name, value in (("EVERGREEN_BUILD", BUILD), ("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            run = subprocess.run(
                [sys.executable, "-c", code, str(project.root)], capture_output=True, text=True, check=True
            )
        assert run.stderr == ""


def test_a_server_that_is_away_is_one_warning(
    named: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("EVERGREEN_BUILD", BUILD)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING), live(named("away")) as watch:
        for step in range(5):
            watch.metrics({"rows": 1.0}, step)
    assert time.monotonic() - started < 5
    assert len(caplog.records) == 1
    assert "not shown live" in caplog.text
    assert run_url("away", BUILD) is None
    with pytest.raises(RegistryError, match="does not answer"):
        aliases("away")


def test_a_deleted_experiment_is_said(client: MlflowClient, named: Callable[[str], Project]) -> None:
    project = named("deleted")
    client.delete_experiment(client.create_experiment("deleted"))
    with pytest.raises(RegistryError, match="was deleted: restore it"):
        open_run(client, project.home, "deleted", BUILD)


def test_aliases_and_versions(client: MlflowClient) -> None:
    assert aliases("served") == {}
    assert version_of_build("served", BUILD) is None
    client.create_registered_model("served")
    run = client.create_run(client.create_experiment("served")).info
    for number in (1, 2):
        mark = {"evergreen.build": f"served/{BUILD}{number}"}
        client.create_model_version("served", f"{run.artifact_uri}/model", run.run_id, tags=mark)
    assert version_of_build("served", f"{BUILD}2") == 2
    client.set_registered_model_alias("served", "challenger", "1")
    one, two = a_promotion(1), a_promotion(2)
    apply_aliases("served", one, None)
    assert aliases("served") == {"challenger": 1, "champion": 1}
    for _ in range(2):
        apply_aliases("served", two, one)
        assert aliases("served") == {"challenger": 1, "champion": 2, "previous": 1}


def test_a_version_that_was_deleted_by_hand_is_found_again(client: MlflowClient) -> None:
    client.create_registered_model("deleted")
    run = client.create_run(client.create_experiment("deleted again")).info

    def register(number: int) -> None:
        mark = {"evergreen.build": f"deleted/{BUILD}{number}"}
        client.create_model_version("deleted", f"{run.artifact_uri}/model", run.run_id, tags=mark)

    one, two = a_promotion(1, "deleted"), a_promotion(2, "deleted")
    for number in (1, 2):
        register(number)
    client.delete_model_version("deleted", "1")
    apply_aliases("deleted", two, one)
    assert aliases("deleted") == {"champion": 2}, "a previous one that is gone keeps nobody from being champion"
    client.delete_model_version("deleted", "2")
    with pytest.raises(RegistryError, match=f"no version of the champion {BUILD}2 .*run `evergreen track {BUILD}2`"):
        apply_aliases("deleted", two, one)
    register(2)
    apply_aliases("deleted", two, one)
    assert aliases("deleted") == {"champion": 3}, "as it was registered again"


def test_numbers_that_begin_again_make_no_other_build_champion(client: MlflowClient) -> None:
    run = client.create_run(client.create_experiment("begun again")).info

    def register(number: int) -> None:
        mark = {"evergreen.build": f"begun/{BUILD}{number}"}
        client.create_model_version("begun", f"{run.artifact_uri}/model", run.run_id, tags=mark)

    client.create_registered_model("begun")
    register(1)
    one = a_promotion(1, "begun")
    apply_aliases("begun", one, None)
    client.delete_registered_model("begun")
    client.create_registered_model("begun")
    register(2)  # a candidate that nobody promoted; it is version 1
    with pytest.raises(RegistryError, match=f"no version of the champion {BUILD}1 any more"):
        apply_aliases("begun", one, None)
    assert aliases("begun") == {}
    register(1)
    apply_aliases("begun", one, None)
    assert aliases("begun") == {"champion": 2}


def a_promotion(number: int, name: str = "served") -> Promotion:
    return Promotion(
        name=name, build=f"{BUILD}{number}", version=number, bundle="ab", cutoff=MOMENT, as_of=MOMENT, decision="d",
        previous_build=None,
    )  # fmt: skip
