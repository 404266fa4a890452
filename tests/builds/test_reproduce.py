"""reproduce: a build made again from its tag gives the recorded bytes, and says exactly what does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from evergreen.builds.commit import commit_build
from evergreen.builds.differences import differences
from evergreen.builds.git import git
from evergreen.builds.records import Build
from evergreen.builds.reproduce import reproduce
from evergreen.errors import BuildError, RegistryError
from evergreen.project import Project
from evergreen.registry.lineage import disagreements, find_build
from evergreen.stages.track import track
from tests.finished import finish, make_clone, open_with_snapshot
from tests.servers import free_port


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A committed build."""
    finished = finish(open_with_snapshot(make_clone(tmp_path_factory.mktemp("again"), "again")))
    commit_build(finished)
    return finished


@pytest.fixture
def project(build: Build, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The main checkout's project, without MLflow."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Project.load(build.clone.repository)


def test_a_version_gives_its_bytes_again_and_leaves_nothing(
    build: Build, project: Project, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    tracked = track(project, build.id)
    runs = len(_runs(mlflow_uri))
    result = reproduce(project, str(tracked.version))
    assert (result.version, result.build, result.identical) == (tracked.version, build.id, True)
    assert not [*result.differences, *result.environment, *result.registry]
    assert set(result.outputs) >= {"build/features.parquet", "build/model.pkl", "build/metrics.json"}
    assert [path.name for path in project.home.builds("again").iterdir() if path.is_dir()] == [build.id]
    assert git(project.root, "worktree", "list").count("\n") == 1
    assert len(_runs(mlflow_uri)) == runs, "MLflow does not hear of it"


def test_mlflow_knows_the_build_and_is_held_against_it(
    build: Build, project: Project, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    tracked = track(project, build.id)
    assert find_build(project, "challenger") == (build.id, tracked.version)
    with pytest.raises(RegistryError, match=f"no version 99 .*there are: {tracked.version}"):
        find_build(project, "99")
    with pytest.raises(RegistryError, match="no alias `champion`; there are: challenger"):
        find_build(project, "champion")
    lock = git(project.root, "show", f"{build.tag}:dvc.lock") + "\n"
    assert disagreements(project, build.id, lock, build.project.build, "5a4b") == []
    MlflowClient(mlflow_uri).log_metric(str(tracked.run_id), "roc_auc", 0.99)
    found = disagreements(project, build.id, lock + "#", build.project.build, "another")
    assert [text.split(" says ")[1].split(" ")[0] for text in found] == [
        "dvc.lock.sha256",
        "evergreen.snapshot",
        "roc_auc",
    ]


def _runs(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    return list(client.search_runs([client.get_experiment_by_name("again").experiment_id]))


def test_without_mlflow_only_what_was_promoted_has_a_version(project: Project) -> None:
    with pytest.raises(RegistryError, match="knows no promotion of `3`, and MLFLOW_TRACKING_URI is not set"):
        reproduce(project, "3")


def test_a_build_without_a_tag_is_named_beside_the_newest(build: Build, project: Project) -> None:
    with pytest.raises(BuildError, match=f"no tag build/again/20200101T0000-1234567.*newest is {build.tag}"):
        reproduce(project, "20200101T0000-1234567")


def test_a_snapshot_that_is_gone_says_where_to_look(build: Build, project: Project, tmp_path: Path) -> None:
    elsewhere = replace(project, home=replace(project.home, root=tmp_path / "home"))
    with pytest.raises(BuildError, match="neither in the DVC cache nor in the remote"):
        reproduce(elsewhere, build.id)


def test_what_differs_is_told_and_the_command_fails(build: Build, project: Project) -> None:
    """A tag whose lock says that another number of iterations made the model: its params.yaml did not."""
    params = build.project.root / "params.yaml"
    lock, text = build.project.root / "dvc.lock", params.read_text()
    recorded = lock.read_text()
    params.write_text(text.replace("max_iter: 20", "max_iter: 21"))
    assert params.read_text() != text
    subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=build.project.root, check=True, env=_environment(build))
    other = _tag_with(build, "other", lock.read_text())
    shutil.copy(project.root / "params.yaml", params)
    lock.write_text(recorded)
    command = [sys.executable, "-c", "from evergreen.cli import main; main()", "reproduce", other]
    run = subprocess.run(
        command, cwd=project.root, env=_environment(build), capture_output=True, text=True, check=False
    )
    assert run.returncode == 1, run.stderr
    assert "DIFFERS  build/model.pkl" in run.stdout
    assert "same     build/features.parquet" in run.stdout
    assert "differs: build/metrics.json: log_loss: " in run.stdout
    assert run.stdout.splitlines()[-1] == "not identical"


def test_killed_in_the_middle_it_is_done_again(build: Build, project: Project) -> None:
    command = [sys.executable, "-c", "from evergreen.cli import main; main()", "reproduce", build.id]
    kill = _environment(build) | {"EVERGREEN_KILL_AT": "rebuild.brought"}
    assert subprocess.run(command, cwd=project.root, env=kill, check=False).returncode == -9
    assert reproduce(project, build.id).identical
    assert git(project.root, "worktree", "list").count("\n") == 1


def _environment(build: Build) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inherited = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return inherited | {"PATH": path, "OMP_NUM_THREADS": "1", "EVERGREEN_HOME": str(build.clone.home.root)}


def _tag_with(build: Build, id_: str, lock: str) -> str:
    """A build's tag like that of `build`, with another dvc.lock."""
    repository = build.clone.repository
    blob = git(repository, "hash-object", "-w", "--stdin", stdin=lock)
    lines = [
        f"100644 blob {blob}\tdvc.lock" if line.endswith("\tdvc.lock") else line
        for line in git(repository, "ls-tree", build.tag).splitlines()
    ]
    tree = git(repository, "mktree", stdin="\n".join(lines) + "\n")
    commit = git(repository, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit-tree", tree, "-m", "other")
    git(repository, "tag", f"build/again/{id_}", commit)
    return f"build/again/{id_}"


def test_differences_are_said_column_by_column_and_key_by_key(tmp_path: Path) -> None:
    recorded, made = tmp_path / "recorded", tmp_path / "made"
    for folder, auc, value, figure in ((recorded, 0.71, 1.0, "a"), (made, 0.72, 2.0, "b")):
        (folder / "plots").mkdir(parents=True)
        (folder / "plots" / "roc.csv").write_text(figure)
        (folder / "metrics.json").write_text(json.dumps({"roc_auc": auc, "confusion": {"tp": 1}}))
        table = pa.table({"_key": ["k1", "k2"], "x": [0.0, value], "y": [None, 3.0]})
        pq.write_table(table, folder / "features.parquet")
    names = ("build/features.parquet", "build/metrics.json", "build/plots", "build/same")
    locks = [_lock({name: "0" if name == "build/same" else md5 for name in names}) for md5 in ("1", "2")]
    assert differences(*locks, recorded, made) == [
        "build/features.parquet: column x differs in 1 rows, first of k2: 1.0 -> 2.0",
        "build/metrics.json: roc_auc: 0.71 -> 0.72",
        "build/plots: other bytes in roc.csv",
    ]
    assert differences(*locks, None, made)[0] == "build/features.parquet: other bytes (MD5 2, recorded 1)"
    gone = differences(locks[0], _lock({"build/same": "0", "build/new": "1"}), recorded, made)
    assert "build/new: made, and not recorded" in gone
    assert "build/plots: recorded, and not made" in gone


def test_lists_of_a_multiclass_label_are_compared_too(tmp_path: Path) -> None:
    for folder, p in (("recorded", [[0.2, 0.8], None, [0.5, 0.5]]), ("made", [[0.2, 0.8], None, [0.4, 0.6]])):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"_key": ["k1", "k2", "k3"], "p": p}), tmp_path / folder / "judged.parquet")
    locks = [_lock({"build/judged.parquet": md5}) for md5 in ("1", "2")]
    assert differences(*locks, tmp_path / "recorded", tmp_path / "made") == [
        "build/judged.parquet: column p differs in 1 rows, first of k3: [0.5, 0.5] -> [0.4, 0.6]"
    ]


def test_mlflow_that_is_down_costs_no_result(build: Build, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    result = reproduce(project, build.id)
    assert result.identical
    assert [text.split(" at ")[0] for text in result.registry] == ["not compared with MLflow: MLflow"]


def _lock(outs: dict[str, str]) -> str:
    return json.dumps({"stages": {"all": {"outs": [{"path": path, "md5": md5} for path, md5 in outs.items()]}}})
