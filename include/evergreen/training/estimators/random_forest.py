"""Many deep trees, each on other rows and columns. It takes nulls, but categories as numbers only."""

from __future__ import annotations

from typing import Any

from evergreen.training.estimators.base import EVERY, Estimator, Setting


def make(setting: Setting) -> Any:
    """The unfitted forest. Leaves hold five rows or more: with one each a forest takes ten times the place."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if setting.kind == "regression" else RandomForestClassifier
    options = {"min_samples_leaf": 5, **setting.options}
    return kind(random_state=setting.seed, n_jobs=1, **options, **setting.weighted, **setting.constrained)


RANDOM_FOREST = Estimator(
    name="random_forest",
    kinds=EVERY,
    make=make,
    nulls=True,
    categories=False,
    float32=True,
    monotonic=True,
    skops_trusted=("numpy.clip", "numpy.dtype", "sklearn.tree._tree.Tree"),
)
