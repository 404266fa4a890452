from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import EvergreenError, RegistryError
from evergreen.stages.evaluate import evaluate
from evergreen.stages.train import train
from evergreen.training.artifacts import load_model, predict
from evergreen.training.metrics import best_threshold, binary_metrics
from evergreen.training.record import TrainingRecord
from evergreen.training.splits import split
from tests.conftest import SMALL
from tests.synthetic import TIMES, feature_frame, write_features


def contents(project) -> dict[str, bytes]:
    return {
        str(path.relative_to(project.build)): path.read_bytes()
        for path in sorted(project.build.rglob("*"))
        if path.is_file()
    }


def test_the_twin_is_judged_on_the_window(make_project) -> None:
    project = make_project()
    frame = write_features(project)
    train(project)
    result = evaluate(project)
    window = frame.iloc[split(frame, project.params).window]
    judged = pq.read_table(project.build / "judged.parquet")
    moment = pa.timestamp("us")
    assert judged.schema.names == ["_key", "_time", *TIMES, "_label", "p", "p_baseline"]
    assert judged.schema.types == [pa.string(), *[moment] * 3, *[pa.float64()] * 3]
    assert judged["_key"].to_pylist() == window["_key"].tolist()
    record = TrainingRecord.read(project.build / "training.json")
    twin = load_model(project.build / "twin.pkl", record.twin_sha256)
    np.testing.assert_array_equal(judged["p"], predict(twin, window))
    metrics = json.loads((project.build / "metrics.json").read_text())
    expected = binary_metrics(window["_label"], judged["p"].to_numpy(), metrics["threshold"])
    assert {name: metrics[name] for name in expected} == expected == result.metrics
    assert (metrics["rows"], metrics["positives"]) == (len(window), int(window["_label"].sum()))
    assert sum(metrics["confusion"].values()) == metrics["rows"]
    assert 0.75 < metrics["roc_auc"] < 1
    assert metrics["baseline"] == result.baseline
    json.dumps(result.model_dump())


def test_the_threshold_is_chosen_on_rows_that_are_not_judged(make_project) -> None:
    project = make_project()
    frame = write_features(project)
    train(project)
    evaluate(project)
    reference = pq.read_table(project.build / "reference.parquet").to_pandas()
    judge_from = TrainingRecord.read(project.build / "training.json").judge_from.replace(tzinfo=None)
    before = reference[reference["_label_known_at"] <= judge_from]
    assert len(before) == len(split(frame, project.params).twin)
    threshold = json.loads((project.build / "metrics.json").read_text())["threshold"]
    assert threshold == best_threshold(before["_label"].to_numpy(), before["p"].to_numpy())


def test_evaluating_again_writes_the_same_bytes(make_project) -> None:
    project = make_project()
    write_features(project)
    train(project)
    evaluate(project)
    first = contents(project)
    assert {f"plots/{name}.csv" for name in ("roc", "pr", "calibration", "histogram", "confusion")} <= set(first)
    evaluate(project)
    assert contents(project) == first


def test_without_a_baseline_its_column_is_null(make_project) -> None:
    project = make_project(SMALL.replace("min_labels: 50", "min_labels: 50, baseline: null"))
    write_features(project)
    train(project)
    assert evaluate(project).baseline is None
    judged = pq.read_table(project.build / "judged.parquet")
    assert judged["p_baseline"].null_count == judged.num_rows > 0


def test_a_window_without_rows_has_no_figures(make_project) -> None:
    project = make_project()
    frame = write_features(project)
    train(project)
    frame.loc[split(frame, project.params).window, "_label"] = np.nan
    write_features(project, frame)
    result = evaluate(project)
    metrics = json.loads((project.build / "metrics.json").read_text())
    assert (metrics["rows"], metrics["positives"], result.rows) == (0, 0, 0)
    names = ("roc_auc", "pr_auc", "log_loss", "brier", "precision", "recall", "f1")
    assert {metrics[name] for name in names} | set(metrics["baseline"].values()) == {None}
    assert (project.build / "plots/roc.csv").read_text() == "fpr,tpr\n"


def test_a_window_of_one_outcome_has_no_roc_auc(make_project) -> None:
    project = make_project()
    frame = feature_frame()
    frame.loc[split(frame, project.params).window, "_label"] = 0.0
    write_features(project, frame)
    train(project)
    metrics = evaluate(project).metrics
    assert metrics["roc_auc"] is None
    assert metrics["log_loss"] is not None


def test_another_model_than_the_recorded_one_is_refused(make_project) -> None:
    project = make_project()
    with pytest.raises(EvergreenError, match=r"training\.json is missing; run `dvc repro`"):
        evaluate(project)
    write_features(project)
    train(project)
    (project.build / "twin.pkl").write_bytes((project.build / "model.pkl").read_bytes())
    with pytest.raises(RegistryError, match=r"twin\.pkl is not the model that was recorded"):
        evaluate(project)
