"""What a fold is worth, and which of two scores is better."""

from __future__ import annotations

import math
from typing import Any

from evergreen.params.prediction import Kind

HIGHER_IS_BETTER = ("roc_auc", "pr_auc", "macro_roc_auc", "r2")


def score(metric: str, kind: Kind, y: Any, p: Any) -> float:
    """The metric of predictions `p` of the outcomes `y`; NaN where it is not defined, or a prediction is no number."""
    import numpy as np

    from evergreen.training.metrics import metrics_of

    return metrics_of(kind, y, p, 0.5)[metric] if np.isfinite(p).all() else math.nan


def sign(metric: str) -> int:
    """What to multiply a score by, so that less is better."""
    return -1 if metric in HIGHER_IS_BETTER else 1
