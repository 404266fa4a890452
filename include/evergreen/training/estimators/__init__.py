"""The estimator catalog. A new one is a small file here, a line below, and its name in params/training.py."""

from __future__ import annotations

from evergreen.errors import ParamsError
from evergreen.params.base import nearest
from evergreen.params.prediction import Kind
from evergreen.training.estimators.base import Estimator, Setting
from evergreen.training.estimators.decision_tree import DECISION_TREE
from evergreen.training.estimators.hist_gradient_boosting import HIST_GRADIENT_BOOSTING
from evergreen.training.estimators.lightgbm import LIGHTGBM
from evergreen.training.estimators.logistic import LOGISTIC
from evergreen.training.estimators.random_forest import RANDOM_FOREST
from evergreen.training.estimators.ridge import RIDGE

# What preprocessing and calibration may add, whatever the estimator.
STEPS_TRUSTED = (
    *(
        f"evergreen.training.preprocess.transformers.{name}"
        for name in ("Bins", "Derive", "Levels", "Outliers", "SignedLog", "YeoJohnson")
    ),
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
)

_ENTRIES = (HIST_GRADIENT_BOOSTING, LIGHTGBM, RANDOM_FOREST, DECISION_TREE, LOGISTIC, RIDGE)
CATALOG: dict[str, Estimator] = {entry.name: entry for entry in _ENTRIES}

__all__ = ["CATALOG", "Estimator", "Setting", "find", "skops_trusted"]


def find(name: str, kind: Kind | None = None) -> Estimator:
    """The catalog's entry; raise ParamsError, naming those that would do, for another name or another kind."""
    if name not in CATALOG:
        raise ParamsError(f"there is no estimator `{name}`; {nearest(name, CATALOG)}")
    entry = CATALOG[name]
    if kind is not None and kind not in entry.kinds:
        able = [other.name for other in CATALOG.values() if kind in other.kinds]
        raise ParamsError(
            f"training.estimator: `{name}` is for {' and '.join(entry.kinds)}, and the label is {kind}; "
            f"for {kind} there are {', '.join(able)}"
        )
    return entry


def skops_trusted(name: str) -> list[str]:
    """Types that a skops file of this estimator's Pipeline may hold beyond skops' own trusted ones."""
    return sorted({*find(name).skops_trusted, *STEPS_TRUSTED})
