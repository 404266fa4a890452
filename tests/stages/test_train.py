from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from evergreen.errors import EvergreenError
from evergreen.paths import file_sha256
from evergreen.registry import tracking
from evergreen.stages.train import train
from evergreen.training import fitting
from evergreen.training.artifacts import load_model, predict
from evergreen.training.frame import inputs
from evergreen.training.pipeline import Recipe, fit
from evergreen.training.record import TrainingRecord
from evergreen.training.splits import fold_of, split
from tests.conftest import SMALL
from tests.synthetic import TIMES, feature_frame, write_features

OUTPUTS = ("model.pkl", "twin.pkl", "baseline.pkl", "reference.parquet", "validation.parquet", "sample.parquet",
           "training.json")  # fmt: skip


def hashes(project) -> dict[str, str]:
    return {name: file_sha256(project.build / name) for name in OUTPUTS}


def test_a_run_writes_what_it_says(make_project) -> None:
    project = make_project()
    frame = write_features(project)
    result = train(project)
    found, parts = hashes(project), split(frame, project.params)
    record = TrainingRecord.read(project.build / "training.json")
    assert sorted(path.name for path in project.build.iterdir()) == sorted([*OUTPUTS, "features.parquet"])
    assert (result.cutoff, result.judge_from) == ("2024-02-11T05:00:00Z", "2024-02-04T05:00:00Z")
    assert (result.rows, result.positives) == (len(parts.model), int(frame["_label"].sum()))
    assert (result.twin_rows, result.window_rows) == (len(parts.twin), len(parts.window))
    assert (record.model_sha256, record.twin_sha256) == (found["model.pkl"], found["twin.pkl"])
    assert (result.baseline_sha256, record.baseline_sha256) == (found["baseline.pkl"], found["baseline.pkl"])
    assert record.features == ("team", "size", "hour", "team_late_3d")
    assert record.categorical == ("team",)
    assert record.environment["scikit-learn"].count(".") == 2
    json.dumps(result.model_dump())


def test_the_twin_has_seen_nothing_of_the_window(make_project) -> None:
    """Other labels in the window change the model, and neither twin nor baseline."""
    project = make_project()
    frame = write_features(project)
    before = train(project)
    window = split(frame, project.params).window
    frame.loc[window, "_label"] = 1 - frame.loc[window, "_label"]
    frame.loc[window, "size"] = 1.0
    write_features(project, frame)
    after = train(project)
    assert after.model_sha256 != before.model_sha256
    assert (after.twin_sha256, after.baseline_sha256) == (before.twin_sha256, before.baseline_sha256)


def test_rows_without_a_label_change_no_model(make_project) -> None:
    project = make_project()
    frame = write_features(project)
    before = train(project)
    frame.loc[frame["_label"].isna(), ["team", "size"]] = ["never seen", 0.0]
    write_features(project, frame)
    after = train(project)
    assert before == after


def test_reference_predicts_every_row_without_its_block(make_project) -> None:
    project = make_project()
    frame = write_features(project)
    train(project)
    params, parts = project.params, split(frame, project.params)
    reference = pq.read_table(project.build / "reference.parquet").to_pandas()
    assert list(reference) == ["_key", "_time", *TIMES, "_label", "p"]
    assert reference["_key"].tolist() == frame["_key"].iloc[parts.model].tolist()
    folds = fold_of(frame["_time"], params)[parts.model]
    rest, held = parts.model[folds != 2], parts.model[folds == 2]
    rows = inputs(frame, params.features.names(), params.features.categorical)
    model = fit(Recipe.candidate(params), rows.iloc[rest], frame["_label"].to_numpy()[rest])
    np.testing.assert_array_equal(reference["p"].to_numpy()[folds == 2], predict(model, frame.iloc[held]))


def test_a_feature_without_any_value_is_told(make_project, caplog: pytest.LogCaptureFixture) -> None:
    project = make_project()
    frame = feature_frame()
    frame["size"] = np.nan
    write_features(project, frame)
    train(project)
    assert "no row has a value of the feature size: it is left out" in caplog.text
    assert "feature hour" not in caplog.text


def test_without_a_refit_the_twin_serves_and_knows_nothing_of_the_window(make_project) -> None:
    project = make_project()
    frame = write_features(project)
    before = train(project)
    project = make_project(SMALL.replace("min_labels: 50", "min_labels: 50, refit: false"))
    write_features(project, frame)
    after = train(project)
    assert after.model_sha256 == after.twin_sha256 == before.twin_sha256 != before.model_sha256
    assert (project.build / "model.pkl").read_bytes() == (project.build / "twin.pkl").read_bytes()
    assert (after.rows, after.window_rows) == (before.twin_rows, before.window_rows)
    record = TrainingRecord.read(project.build / "training.json")
    assert record.learned_until == record.judge_from < record.cutoff
    reference = pq.read_table(project.build / "reference.parquet")
    assert reference["_key"].to_pylist() == frame["_key"].iloc[split(frame, project.params).twin].tolist()
    assert reference.equals(pq.read_table(project.build / "validation.parquet"))


def test_the_sample_holds_training_rows_with_their_features(make_project) -> None:
    project = make_project()
    frame = write_features(project)
    train(project)
    sample = pq.read_table(project.build / "sample.parquet")
    rows = frame.iloc[split(frame, project.params).model].reset_index(drop=True)
    assert sample.schema.names == ["_key", "_time", "team", "size", "hour", "team_late_3d"]
    pd.testing.assert_frame_equal(sample.to_pandas(), rows[sample.schema.names], check_dtype=False)


def test_equal_inputs_give_equal_bytes_in_other_processes(make_project) -> None:
    """Twice in processes of their own, with other hash seeds and thread counts, and here once more."""
    project = make_project()
    write_features(project)
    runs = []
    for seed, threads in (("1", "1"), ("2", "2")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads}
        code = "from evergreen.project import Project; from evergreen.stages.train import train; train(Project.load())"
        subprocess.run([sys.executable, "-c", code], cwd=project.root, env=environment, check=True)
        runs.append(hashes(project))
    train(project)
    assert runs[0] == runs[1] == hashes(project)


def test_two_processes_give_the_bytes_of_one(make_project, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project()
    write_features(project)
    train(project)
    alone = hashes(project)
    monkeypatch.setattr(fitting, "PARALLEL_ROWS", range(1, 10_000))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    train(project)
    assert hashes(project) == alone


def test_an_error_in_another_process_is_the_same_error(make_project, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(SMALL.replace("max_iter: 20", "max_iter: -1"))
    write_features(project)
    monkeypatch.setattr(fitting, "PARALLEL_ROWS", range(1, 10_000))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(EvergreenError, match=r"training.options: .*max_iter"):
        train(project)
    assert [path.name for path in project.build.iterdir()] == ["features.parquet"]


def test_without_a_baseline_its_file_is_empty(make_project) -> None:
    project = make_project(SMALL.replace("min_labels: 50", "min_labels: 50, baseline: null"))
    write_features(project)
    assert train(project).baseline_sha256 is None
    assert (project.build / "baseline.pkl").read_bytes() == b""


def test_too_short_a_history_for_folds_says_what_to_change(make_project) -> None:
    project = make_project(SMALL.replace("min_labels: 50", "min_labels: 50, out_of_fold: {block: 365 days}"))
    write_features(project)
    with pytest.raises(EvergreenError, match=r"blocks of 365 days, shorten training\.out_of_fold\.block"):
        train(project)


def test_a_late_label_moves_the_cut_off_and_nothing_before_it(make_project) -> None:
    """A label that becomes known after the cut-off's day extends the window; the twin keeps its rows' order."""
    project = make_project()
    frame = feature_frame()
    frame.loc[0, ["_label", *TIMES]] = [1.0, *[pd.Timestamp("2024-02-12 09:00")] * 2]
    write_features(project, frame)
    result = train(project)
    assert result.cutoff == "2024-02-13T05:00:00Z"
    assert result.judge_from == "2024-02-06T05:00:00Z"


class Watcher:
    """Stands where a live MLflow run would be."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.seen: list[tuple[dict[str, float], int | None]] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        self.seen.append((values, step))


def test_mlflow_sees_folds_and_twin_while_it_trains(make_project, monkeypatch: pytest.MonkeyPatch) -> None:
    project, watcher = make_project(), Watcher()
    write_features(project)

    @contextmanager
    def live(_):
        yield watcher

    monkeypatch.setattr(tracking, "live", live)
    result = train(project)
    assert watcher.stages == ["train"]
    assert watcher.seen[0][0]["rows"] == result.rows
    steps = sorted(step for values, step in watcher.seen if "fold_log_loss" in values and step is not None)
    assert steps == [0, 1, 2, 3]
    twin = next(values for values, _ in watcher.seen if "twin_log_loss" in values)
    assert 0.5 < twin["twin_roc_auc"] <= 1
    model = load_model(project.build / "model.pkl", result.model_sha256)
    assert hashlib.sha256((project.build / "model.pkl").read_bytes()).hexdigest() == result.model_sha256
    assert model.classes_.tolist() == [0.0, 1.0]


def test_training_goes_on_when_mlflow_is_down(make_project, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project()
    write_features(project)
    train(project)
    unwatched = hashes(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("EVERGREEN_BUILD", "20240211T0500-abcdef0")
    train(project)
    assert hashes(project) == unwatched


def with_positives(frame: pd.DataFrame, keys: list[int]) -> pd.DataFrame:
    """Every label false but for these rows'."""
    return frame.assign(_label=frame["_label"].mask(frame["_label"].notna(), 0.0).mask(frame.index.isin(keys), 1.0))


@pytest.mark.parametrize("stopping", ["false", "true"])
def test_an_outcome_too_rare_for_the_folds_is_an_error_with_its_counts(make_project, stopping: str) -> None:
    """Early stopping splits each outcome in two, and scikit-learn ends with a traceback where it cannot."""
    project = make_project(SMALL.replace("early_stopping: false", f"early_stopping: {stopping}"))
    write_features(project, with_positives(feature_frame(), [101, 701]))
    with pytest.raises(
        EvergreenError, match=r"at least 2 times outside of each fold; .* there are 1 true and \d+ false"
    ):
        train(project)
    assert [path.name for path in project.build.iterdir()] == ["features.parquet"]


def test_a_fold_of_one_outcome_is_predicted_like_any_other(make_project) -> None:
    project = make_project()
    frame = feature_frame()
    frame.loc[fold_of(frame["_time"], project.params) == 1, "_label"] = 0.0
    write_features(project, frame)
    assert train(project).positives == (frame["_label"] == 1).sum()
    p = pq.read_table(project.build / "reference.parquet")["p"].to_numpy()
    assert np.isfinite(p).all()


@pytest.mark.parametrize("processes", [1, 2])
def test_what_scikit_learn_refuses_is_told_with_the_fit_and_its_rows(
    make_project, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr(fitting, "_processes", lambda _: processes)
    text = SMALL.replace("early_stopping: false", "early_stopping: true").replace("min_labels: 50", "min_labels: 5")
    project, frame = make_project(text), feature_frame()
    learned = np.flatnonzero(split(frame, project.params).twin)  # eight of them stay: a tenth of that is one row
    few = split(frame, project.params).twin[:: len(learned) // 8][:8]
    gone = frame.index.isin(split(frame, project.params).twin) & ~frame.index.isin(few)
    frame.loc[gone, "_label"] = np.nan
    frame.loc[few, "_label"] = [0.0, 1.0] * 4
    write_features(project, frame)
    message = r"the estimator of `twin` cannot be fitted to 8 rows \(4 true\): .*Look at training\.options"
    with pytest.raises(EvergreenError, match=message):
        train(project)
