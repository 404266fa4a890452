"""The bundle: stored once, checked before anything of it is used."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from evergreen.errors import RegistryError
from evergreen.paths import file_sha256
from evergreen.project import Project
from evergreen.registry.bundle import FILES, load_bundle, store_bundle
from evergreen.training.artifacts import dump_model
from evergreen.training.record import TrainingRecord
from tests.synthetic import feature_frame

BUILD = "20240211T0500-0123abc"


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project with the outputs that a bundle takes; the models are small but real."""
    project = make_project()
    project.build.mkdir()
    rows = feature_frame(rows=100).dropna()
    model = LogisticRegression().fit(rows[["hour"]], rows["_label"])
    for kind in ("model", "twin"):
        (project.build / f"{kind}.pkl").write_bytes(dump_model(model))
    hashes = {f"{kind}_sha256": file_sha256(project.build / f"{kind}.pkl") for kind in ("model", "twin")}
    rows.to_parquet(project.build / "reference.parquet")
    rows.to_parquet(project.build / "sample.parquet")
    record = {
        "cutoff": "2024-02-10T05:00:00Z", "judge_from": "2024-02-03T05:00:00Z", "rows": 9, "positives": 4,
        "twin_rows": 5, "window_rows": 4, "estimator": "logistic", "baseline": None, "features": ["hour"],
        "categorical": [], "baseline_sha256": None, "environment": {}, **hashes,
    }  # fmt: skip
    TrainingRecord.model_validate(record).write(project.build / "training.json")
    return project


def test_a_bundle_holds_what_serving_needs(project: Project) -> None:
    bundle = store_bundle(project, BUILD)
    shutil.rmtree(project.build)
    again = load_bundle(project.home, "small", BUILD, bundle.sha256)
    assert again == bundle
    assert again.folder == project.home.models("small") / BUILD
    assert sorted(os.listdir(again.folder)) == sorted([*FILES, "bundle.json"])
    assert again.params == project.params
    assert again.training.features == ("hour",)
    assert again.model().coef_ == again.twin().coef_
    assert json.loads((again.folder / "bundle.json").read_text()) == again.hashes


def test_storing_again_is_the_same_bundle_and_other_content_is_refused(project: Project) -> None:
    bundle = store_bundle(project, BUILD)
    assert store_bundle(project, BUILD) == bundle
    (project.build / "sample.parquet").write_bytes(b"other")
    with pytest.raises(RegistryError, match="holds another content"):
        store_bundle(project, BUILD)


def test_racing_writers_store_one(project: Project) -> None:
    start, stored = threading.Barrier(4), []

    def store() -> None:
        start.wait()
        stored.append(store_bundle(project, BUILD))

    threads = [threading.Thread(target=store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({bundle.sha256 for bundle in stored}) == 1
    assert len(stored) == 4
    assert os.listdir(project.home.models("small")) == [BUILD], "no scratch folder is left"


@pytest.mark.parametrize("file", FILES)
def test_a_changed_file_is_never_used(project: Project, file: str) -> None:
    bundle = store_bundle(project, BUILD)
    with (bundle.folder / file).open("ab") as stream:
        stream.write(b"\n")
    use: dict[str, Callable[[], object]] = {
        "model.pkl": bundle.model,
        "twin.pkl": bundle.twin,
        "params.yaml": lambda: bundle.params,
        "training.json": lambda: bundle.training,
    }
    with pytest.raises(RegistryError, match="not what was stored"):
        use.get(file, lambda: bundle.path(file))()
    with pytest.raises(RegistryError, match="not what was stored"):
        store_bundle(project, BUILD)


def test_another_list_than_the_recorded_one_is_refused(project: Project) -> None:
    store_bundle(project, BUILD)
    with pytest.raises(RegistryError, match="not what was recorded at promotion"):
        load_bundle(project.home, "small", BUILD, "0" * 64)
    with pytest.raises(RegistryError, match="there is no bundle of the build other"):
        load_bundle(project.home, "small", "other")


def test_models_that_are_not_the_recorded_ones_are_not_stored(project: Project) -> None:
    (project.build / "model.pkl").write_bytes(dump_model(LogisticRegression(C=2)))
    with pytest.raises(RegistryError, match="run the stage `train` again"):
        store_bundle(project, BUILD)
    Path(project.build / "twin.pkl").unlink()
    with pytest.raises(RegistryError, match=r"twin\.pkl is missing"):
        store_bundle(project, BUILD)
    assert not project.home.models("small").exists()
