"""track, against a real MLflow server: complete, once, and completed by a retry."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from evergreen.builds.records import Build
from evergreen.errors import RegistryError
from evergreen.project import Project
from evergreen.registry.bundle import load_bundle
from evergreen.stages.track import track
from evergreen.training.artifacts import predict
from evergreen.training.evaluation import Evaluation
from tests.finished import AS_OF, finish, make_clone, open_with_snapshot
from tests.servers import free_port


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A finished build; what tracks it may be done in any order, and again."""
    return finish(open_with_snapshot(make_clone(tmp_path_factory.mktemp("tracked"), "tracked")))


@pytest.fixture
def project(build: Build) -> Project:
    """The main checkout's project."""
    return Project.load(build.clone.repository)


@pytest.fixture
def client(mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of the session's server, which the stage uses too."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    return MlflowClient(mlflow_uri)


def test_without_mlflow_the_build_is_committed_and_stored(build: Build, project: Project) -> None:
    result = track(project, build.id)
    assert (result.run_id, result.run_url, result.version) == (None, None, None)
    tagged = subprocess.run(
        ["git", "-C", str(project.root), "rev-parse", result.tag], capture_output=True, text=True, check=True
    )
    assert tagged.stdout.strip() == result.commit
    assert load_bundle(project.home, "tracked", build.id, result.bundle).training.features


def test_a_server_that_is_away_fails_soon_and_a_retry_completes(
    build: Build, project: Project, monkeypatch: pytest.MonkeyPatch, mlflow_uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    track_started = time.monotonic()
    with pytest.raises(RegistryError, match=f"does not answer.*evergreen track {build.id}"):
        track(project, build.id)
    assert time.monotonic() - track_started < 10
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    assert track(project, build.id).version == 1


def test_the_run_is_complete(build: Build, project: Project, client: MlflowClient) -> None:
    result = track(project, build.id)
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == build.id
    assert result.run_url == f"{client.tracking_uri}/#/experiments/{run.info.experiment_id}/runs/{result.run_id}"
    assert run.data.params["training.options.max_iter"] == "20"
    assert run.data.params["gate.window"] == "7 days"
    written = json.loads((build.project.build / "metrics.json").read_text())
    assert run.data.metrics["roc_auc"] == written["roc_auc"]
    assert run.data.metrics["baseline.log_loss"] == written["baseline"]["log_loss"]
    assert run.data.metrics["confusion.tp"] == written["confusion"]["tp"]
    evaluation = Evaluation.read(build.project.build / "evaluation.json")
    assert run.data.metrics["evaluation.roc_auc.low"] == evaluation.metrics["roc_auc"].low
    assert run.data.metrics["evaluation.majority_rate"] == evaluation.metrics["majority_rate"].value
    rule = next(baseline for baseline in evaluation.baselines if baseline.name == "rule")
    assert run.data.metrics["evaluation.baselines.rule.log_loss"] == rule.metrics["log_loss"].value
    assert run.data.tags["mlflow.source.git.commit"] == result.commit
    assert run.data.tags["evergreen.tag"] == f"build/tracked/{build.id}"
    assert len(run.data.tags["dvc.md5.build/model.pkl"]) == 32
    dataset = run.inputs.dataset_inputs[0]
    assert (dataset.dataset.name, dataset.dataset.digest) == ("tracked", "5a4b")
    assert {tag.key for tag in dataset.tags} >= {"dvc.md5", "snapshot", "mlflow.data.context"}
    files = {file.path for file in client.list_artifacts(result.run_id)}
    assert files >= {"params.yaml", "dvc.lock", "snapshot.json", "metrics.json", "evaluation.json", "plots"}
    plots = {file.path for file in client.list_artifacts(result.run_id, "plots")}
    assert plots >= {
        "plots/roc.csv",
        "plots/roc.png",
        "plots/calibration.png",
        "plots/metrics.png",
        "plots/segments.png",
    }


@pytest.mark.filterwarnings("ignore:(?s).*Any type hint is inferred:UserWarning")  # mlflow.pyfunc's own, on import
def test_the_registered_model_is_the_one_that_was_trained(build: Build, project: Project, client: MlflowClient) -> None:
    import mlflow

    result = track(project, build.id)
    version = client.get_model_version_by_alias("tracked", "challenger")
    assert int(version.version) == result.version
    bundle = load_bundle(project.home, "tracked", build.id)
    record = bundle.training
    rows = pd.read_parquet(build.project.build / "sample.parquet").head(50)
    rows.loc[0, "team"] = None
    served = mlflow.pyfunc.load_model("models:/tracked@challenger")
    given = rows[list(record.features)].astype({"team": "str"})
    np.testing.assert_array_equal(served.predict(given)[:, 1], predict(bundle.model(), rows))
    twin = mlflow.pyfunc.load_model(version.tags["evergreen.twin"])
    np.testing.assert_array_equal(twin.predict(given)[:, 1], predict(bundle.twin(), rows))
    assert served.metadata.signature.inputs.input_names() == list(record.features)
    assert served.metadata.flavors["sklearn"]["serialization_format"] == "skops"


TRACK = "import sys; from evergreen.cli import main; sys.argv = ['evergreen', 'track', sys.argv[1]]; main()"


def _start(build: Build, mlflow_uri: str, **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", TRACK, build.id],
        cwd=build.clone.repository,
        env=os.environ | {"MLFLOW_TRACKING_URI": mlflow_uri, **env},
        stdout=subprocess.DEVNULL,
    )


def _counts(client: MlflowClient, name: str, build: str) -> tuple[int, int, int]:
    """Runs, versions and logged models of a build."""
    experiment = client.get_experiment_by_name(name).experiment_id
    tag = f"tags.`evergreen.build` = '{name}/{build}'"
    models = client.search_logged_models([experiment], tag)
    return (
        len(client.search_runs([experiment], tag)),
        len(client.search_model_versions(f"name = '{name}'")),
        len(models),
    )


def test_killed_anywhere_a_retry_makes_nothing_twice(
    build: Build, mlflow_uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    project = make_clone(tmp_path, "killed")
    other = finish(_with_cache_of(build, project))
    for place in ("track.committed", "track.logged", "track.filled"):
        assert _start(other, mlflow_uri, EVERGREEN_KILL_AT=place).wait() == -signal.SIGKILL
    result = track(project, other.id)
    assert _counts(client, "killed", other.id) == (1, 1, 2)
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(result.run_id, "roc_auc")) == 1
    assert len(run.inputs.dataset_inputs) == 1


def test_three_at_once_make_one_run_and_one_version(
    build: Build, mlflow_uri: str, client: MlflowClient, tmp_path: Path
) -> None:
    project = make_clone(tmp_path, "raced")
    other = finish(_with_cache_of(build, project))
    assert [racer.wait() for racer in [_start(other, mlflow_uri) for _ in range(3)]] == [0, 0, 0]
    assert _counts(client, "raced", other.id) == (1, 1, 2)


def _with_cache_of(build: Build, project: Project) -> Build:
    """A build of another clone whose stages are cache hits, so that they take no time; that is worth testing too."""
    shutil.copytree(build.clone.home.dvc / "cache", project.home.dvc / "cache")
    return open_with_snapshot(project, AS_OF)
