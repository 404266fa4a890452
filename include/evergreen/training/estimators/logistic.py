"""Logistic regression: the baseline that a classifier is shown beside."""

from __future__ import annotations

from typing import Any

from evergreen.training.estimators.base import CLASSES, Estimator, Setting


def make(setting: Setting) -> Any:
    """The unfitted classifier; it never gets native categories."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(random_state=setting.seed, **{"max_iter": 1000, **setting.options}, **setting.weighted)


LOGISTIC = Estimator(name="logistic", kinds=CLASSES, make=make, nulls=False, categories=False, linear=True)
