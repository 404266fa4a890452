"""Logistic regression: the baseline that a candidate is shown beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evergreen.training.estimators.base import Estimator


def make(options: Mapping[str, Any], seed: int, categories: list[int]) -> Any:
    """The unfitted classifier; it never gets native categories."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(random_state=seed, **{"max_iter": 1000, **options})


LOGISTIC = Estimator(name="logistic", make=make, native=False, skops_trusted=("numpy.dtype",))
