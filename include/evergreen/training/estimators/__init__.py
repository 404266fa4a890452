"""The estimator catalog. A new one is a small file here, a line below, and its name in params/training.py."""

from __future__ import annotations

from evergreen.errors import ParamsError
from evergreen.training.estimators.base import Estimator
from evergreen.training.estimators.hist_gradient_boosting import HIST_GRADIENT_BOOSTING
from evergreen.training.estimators.logistic import LOGISTIC

CATALOG: dict[str, Estimator] = {entry.name: entry for entry in (HIST_GRADIENT_BOOSTING, LOGISTIC)}

__all__ = ["CATALOG", "Estimator", "find", "skops_trusted"]


def find(name: str) -> Estimator:
    """The catalog's entry; raise ParamsError, naming the known ones, for another name."""
    if name not in CATALOG:
        raise ParamsError(f"there is no estimator `{name}`; known: {', '.join(CATALOG)}")
    return CATALOG[name]


def skops_trusted(name: str) -> list[str]:
    """Types that a skops file of this estimator's Pipeline holds beyond skops' own trusted ones."""
    return list(find(name).skops_trusted)
