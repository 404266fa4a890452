"""One tree, to be read by people. It takes nulls, but categories as numbers only."""

from __future__ import annotations

from typing import Any

from evergreen.training.estimators.base import EVERY, Estimator, Setting


def make(setting: Setting) -> Any:
    """The unfitted tree. scikit-learn's own default lets leaves hold one row, whose probabilities are 0 and 1."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeRegressor if setting.kind == "regression" else DecisionTreeClassifier
    options = {"min_samples_leaf": 20, **setting.options}
    return kind(random_state=setting.seed, **options, **setting.weighted, **setting.constrained)


DECISION_TREE = Estimator(
    name="decision_tree",
    kinds=EVERY,
    make=make,
    nulls=True,
    categories=False,
    float32=True,
    monotonic=True,
    skops_trusted=("numpy.clip", "numpy.dtype", "sklearn.tree._tree.Tree"),
)
