"""The figures of every kind against scikit-learn's and by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from evergreen.params.evaluation import Cost
from evergreen.params.prediction import Kind
from evergreen.training.evaluation import Evaluation
from evergreen.training.metrics import PRIMARY, binary_metrics, metrics_of
from tests.training.evaluation.scenes import Scene

KINDS: tuple[Kind, ...] = ("binary", "multiclass", "regression")


def drawn(kind: Kind, rows: int = 1200, seed: int = 0) -> tuple[Any, Any]:
    """Outcomes and predictions that know something of them."""
    random = np.random.default_rng(seed)
    if kind == "multiclass":
        p = random.dirichlet([1, 2, 0.7], rows)
        return np.array([random.choice(3, p=line) for line in p]).astype("float64"), p
    p = random.random(rows)
    if kind == "binary":
        return (random.random(rows) < p).astype("float64"), p
    return 10 * p + random.normal(size=rows), 10 * p


def numbers(tree: Any) -> list[Any]:
    return [leaf for branch in tree for leaf in numbers(branch)] if isinstance(tree, list) else [tree]


def test_binary() -> None:
    y, p = drawn("binary")
    said = p >= 0.4
    scene = Scene("binary", y, p, threshold=0.4)
    found = {name: figure.value for name, figure in scene.evaluation.metrics.items()}
    assert found.items() >= binary_metrics(y, p, 0.4).items()
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, said))
    assert found["majority_rate"] == pytest.approx(max(y.mean(), 1 - y.mean()))
    assert found["selection_rate"] == pytest.approx(said.mean())
    assert found["false_positive_rate"] == pytest.approx(said[y == 0].mean())
    assert found["bias"] == pytest.approx(p.mean() - y.mean())
    by_days = scene.days.values(scene.judged.tally(scene.days, full=True))
    assert {name: by_days[name] for name in binary_metrics(y, p, 0.4)} == pytest.approx(binary_metrics(y, p, 0.4))
    cells = scene.evaluation.confusion
    assert [[cells[a][b] for b in cells] for a in cells] == sk.confusion_matrix(y, said).tolist()


def test_multiclass() -> None:
    y, p = drawn("multiclass")
    said = p.argmax(axis=1)
    found = metrics_of("multiclass", y, p)
    assert found == pytest.approx(
        {
            "accuracy": sk.accuracy_score(y, said),
            "majority_rate": np.bincount(y.astype(int)).max() / len(y),
            "macro_precision": sk.precision_score(y, said, average="macro"),
            "macro_recall": sk.recall_score(y, said, average="macro"),
            "macro_f1": sk.f1_score(y, said, average="macro"),
            "log_loss": sk.log_loss(y, p),
            "brier": ((p - np.eye(3)[y.astype(int)]) ** 2).sum(axis=1).mean(),
            "macro_roc_auc": sk.roc_auc_score(y, p, multi_class="ovr", average="macro"),
            "macro_pr_auc": np.mean([sk.average_precision_score(y == place, p[:, place]) for place in range(3)]),
        }
    )
    cells = Scene("multiclass", y, p).evaluation.confusion
    assert [[cells[a][b] for b in cells] for a in cells] == sk.confusion_matrix(y, said).tolist()


def test_a_class_that_does_not_occur_is_no_part_of_a_macro_figure() -> None:
    y, p = drawn("multiclass")
    kept = y != 2
    found = metrics_of("multiclass", y[kept], p[kept])
    said = p[kept].argmax(axis=1)
    expected = sk.recall_score(y[kept], said, average="macro", labels=[0, 1])
    assert found["macro_recall"] == pytest.approx(expected)
    assert math.isfinite(found["macro_roc_auc"])


def test_regression() -> None:
    y, p = drawn("regression")
    y[:7] = 0.0
    found = metrics_of("regression", y, p)
    assert found == pytest.approx(
        {
            "mean": y.mean(),
            "mae": sk.mean_absolute_error(y, p),
            "mse": sk.mean_squared_error(y, p),
            "rmse": sk.root_mean_squared_error(y, p),
            "r2": sk.r2_score(y, p),
            "mape": sk.mean_absolute_percentage_error(y[7:], p[7:]),
            "bias": p.mean() - y.mean(),
        }
    )
    said = Scene("regression", y, p).evaluation
    assert said.counts == {"without mape": 7}
    assert said.threshold is None


def test_regression_far_from_zero_loses_no_digits() -> None:
    y, p = drawn("regression")
    assert metrics_of("regression", y + 1e9, p + 1e9)["r2"] == pytest.approx(sk.r2_score(y, p), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_has_an_interval_around_it(kind: Kind) -> None:
    found = Scene(kind, *drawn(kind)).evaluation
    for name, figure in found.metrics.items():
        assert figure.low <= figure.value <= figure.high, name
    assert (found.days, found.first_day, found.last_day) == (28, "2024-01-01", "2024-01-28")
    assert len(found.calibration) == 10
    assert [one.predicted for one in found.calibration] == sorted(one.predicted for one in found.calibration)
    names = {"regression": ["mean", "median", "rule", "model"]}.get(kind, ["constant", "rule", "model"])
    assert [one.name for one in found.baselines] == names
    assert found.baselines[0].difference[PRIMARY[kind]].high < 0  # better than a constant
    assert found.baselines[-1].difference[PRIMARY[kind]].value == 0  # the model itself


@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_give_equal_text(kind: Kind) -> None:
    texts = {Scene(kind, *drawn(kind)).evaluation.model_dump_json() for _ in range(2)}
    assert len(texts) == 1
    text = texts.pop()
    assert Evaluation.model_validate_json(text).model_dump_json() == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_prediction_that_is_no_number_leaves_nothing_defined(kind: Kind, bad: float) -> None:
    y, p = drawn(kind)
    p[5] = bad
    found = Scene(kind, y, p).evaluation
    assert found.metrics[PRIMARY[kind]].value is None
    of_labels = {"rate", "majority_rate", "mean"}
    assert {figure.value for name, figure in found.metrics.items() if name not in of_labels} == {None}
    constant = found.baselines[0]
    assert constant.metrics[PRIMARY[kind]].value is not None
    assert constant.difference[PRIMARY[kind]].value is None
    assert found.calibration == ()
    # Row 5 is blue: the others' figures are as good as any.
    teams = {one.name: one.metrics[PRIMARY[kind]].value is None for one in found.segments.columns["team"]}
    assert teams == {"team=blue": True, "team=green": False, "team=red": False}
    assert {one.drop for one in found.importance} == {None}
    text = found.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert math.isnan(metrics_of(kind, y, p)[PRIMARY[kind]])


def test_what_is_no_probability_is_no_good_one() -> None:
    y, p = drawn("binary")
    p[y == 1] = 1.5
    assert all(math.isnan(value) for value in binary_metrics(y, p, 0.5).values())


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(kind: Kind) -> None:
    y, p = drawn(kind)
    found = Scene(kind, y[:0], p[:0], trained=Scene(kind, y, p).trained, sensitive=("team",)).evaluation
    assert (found.rows, found.days, found.first_day, found.importance_rows) == (0, 0, None, 0)
    assert {figure.value for figure in found.metrics.values()} == {None}
    assert [figure.low for one in found.baselines for figure in one.metrics.values() if figure.low is not None] == []


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_one_outcome_only(outcome: float) -> None:
    _, p = drawn("binary")
    found = Scene("binary", np.full(len(p), outcome), p, cost=Cost(false_negative=5, false_positive=1)).evaluation
    assert found.metrics["roc_auc"].value is None
    assert found.metrics["roc_auc"].low is None
    assert found.metrics["log_loss"].low is not None
    assert found.metrics["majority_rate"].value == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_prediction(kind: Kind) -> None:
    y, p = drawn(kind)
    same = np.tile(p.mean(axis=0), (len(y), 1)) if kind == "multiclass" else np.full(len(y), p.mean())
    found = Scene(kind, y, same).evaluation
    if kind == "regression":
        assert found.metrics["r2"].value == pytest.approx(0, abs=0.01)
    else:
        assert found.metrics["roc_auc" if kind == "binary" else "macro_roc_auc"].value == pytest.approx(0.5)
    assert len(found.calibration) == 10
    assert {one.drop for one in found.importance} == {0}


def test_a_single_day_has_values_and_no_interval() -> None:
    found = Scene("binary", *drawn("binary"), days=1, sensitive=("team",)).evaluation
    assert found.days == 1
    assert found.metrics["log_loss"].value is not None
    text = found.model_dump_json()
    assert '"low":0' not in text
    assert {figure.low for figure in found.metrics.values()} == {None}
    assert found.segments.worst_pairs == ()


def test_headlines_are_flat_and_finite() -> None:
    y, p = drawn("binary")
    found = Scene("binary", y, p, cost=Cost(false_negative=5, false_positive=1), sensitive=("team",)).evaluation
    names = dict(found.headlines())
    assert names["roc_auc"] == found.metrics["roc_auc"].value
    assert names["roc_auc.low"] < names["roc_auc"] < names["roc_auc.high"]
    wanted = {"cost_per_1000.never", "baselines.rule.log_loss.difference", "fairness.team.equalized_odds.difference"}
    assert wanted <= set(names)
    assert all(math.isfinite(value) for value in names.values())
