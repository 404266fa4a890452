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
from evergreen.training.evaluation import Evaluation
from evergreen.training.metrics import best_threshold, binary_metrics, cheapest_threshold
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
    before = pq.read_table(project.build / "validation.parquet").to_pandas()
    parts = split(frame, project.params)
    assert before["_key"].tolist() == frame["_key"].iloc[parts.twin].tolist()
    threshold = json.loads((project.build / "metrics.json").read_text())["threshold"]
    assert threshold == best_threshold(before["_label"].to_numpy(), before["p"].to_numpy())
    # Nor by models that have learned from them: whatever happens in the window, it is the same.
    frame.loc[parts.window, "_label"] = 1 - frame.loc[parts.window, "_label"]
    write_features(project, frame)
    train(project)
    other = evaluate(project)
    assert json.loads((project.build / "metrics.json").read_text())["threshold"] == threshold
    assert other.metrics["roc_auc"] < 0.5


def test_evaluating_again_writes_the_same_bytes(make_project) -> None:
    project = make_project()
    write_features(project)
    train(project)
    evaluate(project)
    first = contents(project)
    names = ("roc", "pr", "calibration", "histogram", "confusion", "metrics", "segments", "importance", "cost")
    assert {"evaluation.json", *(f"plots/{name}.csv" for name in names)} <= set(first)
    evaluate(project)
    assert contents(project) == first


def test_the_evaluation_says_what_the_metrics_say_and_more(make_project) -> None:
    project = make_project()
    frame = write_features(project)
    train(project)
    result = evaluate(project)
    found = Evaluation.read(project.build / "evaluation.json")
    assert {name: figure.value for name, figure in found.metrics.items()}.items() >= result.metrics.items()
    assert (found.rows, found.counts["positives"], found.days) == (result.rows, result.positives, 7)
    assert found.metrics["log_loss"].low < found.metrics["log_loss"].value < found.metrics["log_loss"].high
    assert [one.name for one in found.baselines] == ["constant", "rule", "model"]
    # Constant and rule have learned from the twin's rows: known before the window, and no others.
    twin = frame.iloc[split(frame, project.params).twin]
    window = frame.iloc[split(frame, project.params).window]
    constant = ((window["_label"] - twin["_label"].mean()) ** 2).mean()
    assert found.baselines[0].metrics["brier"].value == pytest.approx(constant)
    assert found.baselines[1].text == "the mean by team"
    assert {one.levels["team"] for one in found.segments.columns["team"]} == {"red", "green", "blue"}
    assert {one.feature for one in found.importance} == set(project.params.features.names())
    assert found.importance[0].feature == "size"


def test_a_rule_learns_from_a_sliding_window_as_the_twin_does(make_project) -> None:
    project = make_project(SMALL.replace("min_labels: 50", "min_labels: 50, window: 14 days"))
    frame = write_features(project)
    train(project)
    evaluate(project)
    parts = split(frame, project.params)
    window, twin = frame.iloc[parts.window], frame.iloc[parts.twin]
    assert len(twin) < len(frame) / 2
    found = Evaluation.read(project.build / "evaluation.json").baselines[0].metrics["brier"].value
    assert found == pytest.approx(((window["_label"] - twin["_label"].mean()) ** 2).mean())


def test_the_baseline_is_judged_at_a_threshold_of_its_own(make_project) -> None:
    """Weights of the twin's shift the twin's probabilities and threshold, and are none of the baseline's."""
    found = []
    for more in ("", ", class_weight: {true: 40}"):
        project = make_project(SMALL.replace("min_labels: 50", f"min_labels: 50{more}"))
        write_features(project)
        train(project)
        found.append(evaluate(project).baseline)
        judged = Evaluation.read(project.build / "evaluation.json").baselines[-1]
        assert judged.name == "model"
        assert judged.metrics["f1"].value == pytest.approx(found[-1]["f1"])
    assert found[0] == found[1]
    assert found[0]["f1"] > 0


def test_costs_choose_the_threshold_on_rows_that_are_not_judged(make_project) -> None:
    project = make_project(
        SMALL.replace("evaluation: {", "evaluation: {cost: {false_negative: 5, false_positive: 1}, ")
    )
    write_features(project)
    train(project)
    evaluate(project)
    before = pq.read_table(project.build / "validation.parquet").to_pandas()
    found = Evaluation.read(project.build / "evaluation.json")
    y, p = before["_label"].to_numpy(), before["p"].to_numpy()
    assert found.threshold.value == cheapest_threshold(y, p, project.params.evaluation.cost)
    assert (found.threshold.by, found.threshold.rows) == ("cost", len(before))
    metrics = json.loads((project.build / "metrics.json").read_text())
    assert metrics["threshold"] == found.threshold.value
    cells, rows = metrics["confusion"], metrics["rows"]
    assert found.cost.per_1000.value == pytest.approx(1000 * (5 * cells["fn"] + cells["fp"]) / rows)
    assert found.cost.per_1000.value < min(found.cost.never.value, found.cost.always.value)


def test_a_sensitive_column_is_compared(make_project) -> None:
    project = make_project(SMALL.replace("evaluation: {", "evaluation: {sensitive: [team], "))
    write_features(project)
    train(project)
    evaluate(project)
    (found,) = Evaluation.read(project.build / "evaluation.json").fairness
    assert found.column == "team"
    assert found.difference["selection_rate"].value > 0.1  # red is late more often, and the model says so
    assert (project.build / "plots/fairness.csv").read_text().count("selection_rate") == 3


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
    found = Evaluation.read(project.build / "evaluation.json")
    assert (found.rows, found.days, found.metrics["roc_auc"].value) == (0, 0, None)
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
