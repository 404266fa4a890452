"""MLflow runs of expired builds, on a real server whose database and artifacts lie in the home."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from evergreen.gc import run
from evergreen.gc.mlflow import MlflowRuns
from evergreen.gc.scene import Scene
from evergreen.params.retention import Retention
from evergreen.registry.tracking import BUILD
from tests.gc.world import World, clean_up
from tests.servers import free_port, mlflow_server


@pytest.fixture
def client(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    """The home's own server, with a run, a model and a version for each build but the unfinished, which has a run."""
    folder = world.project.home.mlflow
    folder.mkdir()
    with mlflow_server(folder) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        client = MlflowClient(uri)
        place = client.create_experiment("small")
        client.create_registered_model("small")
        for name in ("champion", "rejected", "unfinished", "recent", "last"):
            _track(client, place, name, world.builds[name])
        yield client


def _track(client: MlflowClient, place: str, name: str, build: str) -> None:
    tags = {BUILD: f"small/{build}"}
    run_id = client.create_run(place, run_name=name, tags=tags).info.run_id
    client.log_text(run_id, "a plot" * 1000, "plot.txt")
    if name == "unfinished":
        return
    model = client.create_logged_model(place, name="model", source_run_id=run_id)
    client.finalize_logged_model(model.model_id, "READY")
    version = client.create_model_version("small", f"models:/{model.model_id}", run_id, tags, model_id=model.model_id)
    client.set_registered_model_alias("small", "challenger", version.version)


def names(client: MlflowClient) -> set[str]:
    place = client.get_experiment_by_name("small").experiment_id
    return {found.info.run_name for found in client.search_runs([place])}


def rows(world: World, table: str) -> int:
    database = world.project.home.mlflow / "mlflow.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute(f"select count(*) from {table}").fetchone()[0])


def artifacts(world: World) -> set[str]:
    return {path.parts[-3] for path in (world.project.home.mlflow / "artifacts").rglob("plot.txt")}


def find(world: World) -> int:
    return len(MlflowRuns().find(Scene.of(world.project, Retention())))


def test_runs_models_and_versions_of_expired_builds_go_with_their_files(world: World, client: MlflowClient) -> None:
    assert len(artifacts(world)) == 5
    shown = {one.kind: one for one in run.find(world.project, Retention())}["MLflow runs"]
    assert (shown.count, shown.size >= 2 * 6000) == (2, True)
    freed = {one.kind: one for one in run.free(world.project, Retention())}["MLflow runs"]
    assert (freed.count, freed.left, freed.problem) == (2, 0, None)
    assert names(client) == {"champion", "recent", "last"}
    assert len(artifacts(world)) == 3
    assert (rows(world, "runs"), rows(world, "logged_models")) == (3, 3)
    assert len(client.search_model_versions("name = 'small'")) == 3
    assert find(world) == 0


def test_killed_between_its_steps_and_repeated_it_ends_the_same(world: World, client: MlflowClient) -> None:
    for place in ("gc.mlflow.version", "gc.mlflow.marked"):
        ended = clean_up(world, "--yes", EVERGREEN_KILL_AT=place)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(artifacts(world)) == 5
    assert clean_up(world, "--yes").returncode == 0
    assert len(artifacts(world)) == 3
    assert (rows(world, "runs"), rows(world, "logged_models")) == (3, 3)
    assert len(client.search_model_versions("name = 'small'")) == 3


def test_the_challengers_build_stays(world: World, client: MlflowClient) -> None:
    version = client.search_model_versions(f"tags.`{BUILD}` = 'small/{world.builds['rejected']}'")[0]
    client.set_registered_model_alias("small", "challenger", version.version)
    run.free(world.project, Retention())
    assert "rejected" in names(client)
    assert "rejected" in world.tags()


def test_while_an_experiment_is_marked_as_deleted_nothing_is_erased(world: World, client: MlflowClient) -> None:
    """`mlflow gc` would erase that too, which somebody may want back."""
    gone = client.create_experiment("by mistake")
    client.delete_experiment(gone)
    freed = {one.kind: one for one in run.free(world.project, Retention())}["MLflow runs"]
    assert "marked as deleted" in str(freed.problem)
    assert rows(world, "runs") == 5
    client.restore_experiment(gone)
    run.free(world.project, Retention())
    assert rows(world, "runs") == 3


def test_with_the_server_away_the_rest_goes_on_and_the_next_time_completes(
    world: World, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        result = {one.kind: one for one in run.free(world.project, Retention())}
    assert "does not answer" in str(result["MLflow runs"].problem)
    assert result["candidates"].count == 0
    assert "the challenger" in str(result["candidates"].problem)
    assert "rejected" in world.tags()
    unfinished: Path = world.project.home.builds("small") / f"{world.builds['unfinished']}.json"
    assert unfinished.exists(), "its run is found by it"
    run.free(world.project, Retention())
    assert not unfinished.exists()
    assert names(client) == {"champion", "recent", "last"}
