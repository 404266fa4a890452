"""Predictions against labels, by the definitions of scikit-learn, for any number of rows and classes present."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.monitoring.records import Performance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def performance(labels: NDArray[np.float64], p: NDArray[np.float64]) -> Performance:
    """Judge probabilities `p` against `labels` (1.0 or 0.0), both of shape (rows,).

    Probabilities are kept 1e-15 away from 0 and 1 in the log-loss, as scikit-learn does. A NaN among them makes every
    number that it enters unknown.
    """
    import numpy as np

    rows, positives = len(labels), int(labels.sum())
    if not rows:
        return Performance(
            rows=0, positives=0, rate=None, mean_p=None, bias=None, log_loss=None, skill=None, brier=None, roc_auc=None
        )  # fmt: skip
    rate, mean_p = positives / rows, float(p.mean())
    clipped = np.clip(p, 1e-15, 1 - 1e-15)
    loss = float(-(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped)).mean())
    both = 0 < positives < rows
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)) if both else 0.0
    return Performance(
        rows=rows,
        positives=positives,
        rate=rate,
        mean_p=mean_p,
        bias=mean_p - rate,
        log_loss=loss,
        skill=1 - loss / float(entropy) if both else None,
        brier=float(((p - labels) ** 2).mean()),
        roc_auc=_roc_auc(labels, p) if both and np.isfinite(p).all() else None,
    )


def _roc_auc(labels: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Mann-Whitney's U over the pairs of a positive and a negative; equal scores count half."""
    import numpy as np

    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = labels.sum()
    u = ranks[labels == 1].sum() - positives * (positives + 1) / 2
    return float(u / (positives * (len(labels) - positives)))
