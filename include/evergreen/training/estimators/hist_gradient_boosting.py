"""Gradient-boosted trees on binned features: the reference estimator. Nulls and categories are its own matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evergreen.training.estimators.base import Estimator


def make(options: Mapping[str, Any], seed: int, categories: list[int]) -> Any:
    """The unfitted classifier. Early stopping is off by default: it would hold out rows at random, not by time."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    settings = {"early_stopping": False, **options}
    return HistGradientBoostingClassifier(random_state=seed, categorical_features=categories or None, **settings)


HIST_GRADIENT_BOOSTING = Estimator(
    name="hist_gradient_boosting",
    make=make,
    native=True,
    skops_trusted=(
        "functools.partial",
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.utils.validation.check_array",
    ),
    max_levels=255,
)
