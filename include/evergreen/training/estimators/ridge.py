"""Linear regression with shrunken coefficients: the baseline that a regression is shown beside."""

from __future__ import annotations

from typing import Any

from evergreen.training.estimators.base import Estimator, Setting


def make(setting: Setting) -> Any:
    """The unfitted regressor; it never gets native categories."""
    from sklearn.linear_model import Ridge

    return Ridge(random_state=setting.seed, **setting.options)


RIDGE = Estimator(name="ridge", kinds=("regression",), make=make, nulls=False, categories=False, linear=True)
