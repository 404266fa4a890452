from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from evergreen.training.metrics import best_threshold, binary_metrics, confusion, finite, log_losses

Y = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0])
P = np.array([0.1, 0.4, 0.35, 0.8, 0.5, 0.5])


def test_figures_by_hand() -> None:
    found = binary_metrics(Y, P, 0.5)
    # Of the nine pairs, .8 beats all three, .5 beats two and ties one, .35 beats one.
    assert found["roc_auc"] == pytest.approx((3 + 2.5 + 1) / 9)
    assert found["brier"] == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04 + 0.25 + 0.25) / 6)
    assert confusion(Y, P, 0.5) == {"tp": 2, "fp": 1, "fn": 1, "tn": 2}
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_figures_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    y, p = (random.random(500) < 0.3).astype("float64"), random.random(500)
    found = binary_metrics(y, p, 0.6)
    said = p >= 0.6
    assert found == pytest.approx(
        {
            "roc_auc": sklearn_metrics.roc_auc_score(y, p),
            "pr_auc": sklearn_metrics.average_precision_score(y, p),
            "log_loss": sklearn_metrics.log_loss(y, p),
            "brier": sklearn_metrics.brier_score_loss(y, p),
            "precision": sklearn_metrics.precision_score(y, said),
            "recall": sklearn_metrics.recall_score(y, said),
            "f1": sklearn_metrics.f1_score(y, said),
        }
    )


def test_certainty_that_is_wrong_costs_much_and_not_infinitely() -> None:
    assert np.isfinite(log_losses(np.array([1.0, 0.0]), np.array([0.0, 1.0]))).all()
    assert log_losses(np.array([1.0]), np.array([1.0]))[0] == pytest.approx(0, abs=1e-14)


def test_what_is_not_defined_is_not_a_number() -> None:
    nothing = binary_metrics(np.empty(0), np.empty(0), 0.5)
    assert all(math.isnan(value) for value in nothing.values())
    assert set(finite(nothing).values()) == {None}
    negatives = binary_metrics(np.zeros(3), np.array([0.1, 0.2, 0.3]), 0.5)
    undefined = {name for name, value in negatives.items() if math.isnan(value)}
    assert undefined == {"roc_auc", "pr_auc", "precision", "recall", "f1"}
    assert math.isnan(binary_metrics(np.ones(3), np.full(3, 0.5), 0.5)["roc_auc"])


def test_the_best_threshold_has_the_highest_f1() -> None:
    found = best_threshold(Y, P)
    tried = {threshold: binary_metrics(Y, P, threshold)["f1"] for threshold in P.tolist()}
    assert tried[found] == max(tried.values())
    assert best_threshold(np.zeros(3), np.array([0.1, 0.2, 0.3])) == 0.5
    assert best_threshold(np.empty(0), np.empty(0)) == 0.5
