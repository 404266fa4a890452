from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from evergreen.monitoring.performance import performance


def test_it_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    p = random.random(500).round(2)  # ties, and exact zeros and ones
    p[:2] = [0.0, 1.0]
    labels = (random.random(500) < p * 0.8 + 0.1).astype(float)
    labels[:2] = [0.0, 1.0]
    found = performance(labels, p)

    rate = labels.mean()
    own = log_loss(labels, np.full(500, rate))
    assert found.rows == 500
    assert found.positives == labels.sum()
    assert found.bias == pytest.approx(p.mean() - rate)
    assert found.log_loss == pytest.approx(log_loss(labels, p), rel=1e-9)
    assert found.skill == pytest.approx(1 - log_loss(labels, p) / own, rel=1e-9)
    assert found.brier == pytest.approx(brier_score_loss(labels, p))
    assert found.roc_auc == pytest.approx(roc_auc_score(labels, p))


def test_the_windows_own_rate_has_no_skill() -> None:
    labels = np.array([1.0, 0.0, 0.0, 0.0])

    assert performance(labels, np.full(4, 0.25)).skill == pytest.approx(0)


def test_one_class_leaves_skill_and_auc_unknown() -> None:
    found = performance(np.zeros(3), np.array([0.1, 0.2, 0.3]))

    assert found.skill is None
    assert found.roc_auc is None
    assert found.bias == pytest.approx(0.2)


def test_no_rows_leave_everything_unknown() -> None:
    found = performance(np.empty(0), np.empty(0))

    assert found.rows == 0
    assert {found.rate, found.bias, found.log_loss, found.skill, found.brier, found.roc_auc} == {None}


def test_a_missing_prediction_makes_every_number_unknown() -> None:
    found = performance(np.array([1.0, 0.0]), np.array([np.nan, 0.2]))

    assert {found.mean_p, found.bias, found.log_loss, found.skill, found.brier, found.roc_auc} == {None}
    assert found.rate == 0.5
