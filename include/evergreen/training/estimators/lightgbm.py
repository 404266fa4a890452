"""LightGBM's gradient-boosted trees, an optional extra. Nulls and categories are its own matter."""

from __future__ import annotations

from typing import Any

from evergreen.errors import ParamsError
from evergreen.training.estimators.base import EVERY, Estimator, Setting


def make(setting: Setting) -> Any:
    """The unfitted estimator, held to what gives the same trees every time: one thread, and one way to histograms."""
    try:
        from lightgbm import LGBMClassifier, LGBMRegressor
    except (ImportError, OSError) as error:  # OSError: its library needs another, libgomp, which the machine lacks
        raise ParamsError(
            f"training.estimator: lightgbm is not installed ({error}); install it with `pip install "
            "'evergreen[lightgbm]'`, as `make setup` does, and where libgomp is missing the system's package libgomp1"
        ) from None
    kind = LGBMRegressor if setting.kind == "regression" else LGBMClassifier
    constraints = {"monotone_constraints": list(setting.monotonic)} if any(setting.monotonic) else {}
    return kind(
        random_state=setting.seed,
        n_jobs=1,
        verbosity=-1,
        deterministic=True,
        force_row_wise=True,
        **setting.options,
        **setting.weighted,
        **constraints,
    )


def fit_arguments(setting: Setting) -> dict[str, Any]:
    """Which columns are categories; LightGBM would guess by type else."""
    return {"categorical_feature": list(setting.categories)}


LIGHTGBM = Estimator(
    name="lightgbm",
    kinds=EVERY,
    make=make,
    nulls=True,
    categories=True,
    monotonic=True,
    skops_trusted=(
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
    ),
    packages=("lightgbm",),
    fit_arguments=fit_arguments,
)
