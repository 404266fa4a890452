"""Gradient-boosted trees on binned features: the reference estimator. Nulls and categories are its own matter."""

from __future__ import annotations

from typing import Any

from evergreen.training.estimators.base import EVERY, Estimator, Setting


def make(setting: Setting) -> Any:
    """The unfitted estimator. Early stopping is off by default: it would hold out rows at random, not by time."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if setting.kind == "regression" else HistGradientBoostingClassifier
    return kind(
        random_state=setting.seed,
        categorical_features=list(setting.categories) or None,
        **{"early_stopping": False, **setting.options},
        **setting.weighted,
        **setting.constrained,
    )


HIST_GRADIENT_BOOSTING = Estimator(
    name="hist_gradient_boosting",
    kinds=EVERY,
    make=make,
    nulls=True,
    categories=True,
    monotonic=True,
    max_levels=255,
    skops_trusted=(
        "functools.partial",
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.utils.validation.check_array",
    ),
)
