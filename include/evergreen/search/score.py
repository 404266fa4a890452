"""What a fold is worth, and which of two scores is better."""

from __future__ import annotations

import math
from typing import Any

LOWER_IS_BETTER = ("log_loss", "brier")


def score(metric: str, y: Any, p: Any) -> float:
    """The metric of predictions `p` of the outcomes `y`; NaN where it is not defined, or a prediction is no number."""
    import numpy as np

    from evergreen.training.metrics import binary_metrics

    return binary_metrics(y, p, 0.5)[metric] if np.isfinite(p).all() else math.nan


def sign(metric: str) -> int:
    """What to multiply a score by, so that less is better."""
    return 1 if metric in LOWER_IS_BETTER else -1
