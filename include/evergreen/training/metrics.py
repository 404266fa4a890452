"""How good probabilities are. A figure that is not defined for the rows at hand is NaN, never a flattering number."""

from __future__ import annotations

import math
from typing import Any

# Probabilities are kept this far from 0 and 1 where their logarithm is taken.
EPSILON = 1e-15


def binary_metrics(y: Any, p: Any, threshold: float) -> dict[str, float]:
    """ROC AUC, PR AUC (average precision), log-loss (nats), Brier score; precision, recall, F1 at p >= threshold.

    `y` holds 0 and 1, `p` P(y = 1). Without rows all are NaN; with one class ROC AUC is; PR AUC and recall need a
    positive row, precision a predicted one.
    """
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    y, p = np.asarray(y, dtype="float64"), np.asarray(p, dtype="float64")
    positives = float(y.sum())
    cells = confusion(y, p, threshold)
    precision = _ratio(cells["tp"], cells["tp"] + cells["fp"])
    recall = _ratio(cells["tp"], cells["tp"] + cells["fn"])
    return {
        "roc_auc": float(roc_auc_score(y, p)) if 0 < positives < len(y) else math.nan,
        "pr_auc": float(average_precision_score(y, p)) if positives else math.nan,
        "log_loss": float(log_losses(y, p).mean()) if len(y) else math.nan,
        "brier": float(((p - y) ** 2).mean()) if len(y) else math.nan,
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * cells["tp"], 2 * cells["tp"] + cells["fp"] + cells["fn"]),
    }


def log_losses(y: Any, p: Any) -> Any:
    """Each row's logarithmic loss in nats."""
    import numpy as np

    clipped = np.clip(p, EPSILON, 1 - EPSILON)
    return -(y * np.log(clipped) + (1 - y) * np.log1p(-clipped))


def confusion(y: Any, p: Any, threshold: float) -> dict[str, int]:
    """Rows by outcome and by p >= threshold."""
    actual, said = y == 1, p >= threshold
    return {
        "tp": int((actual & said).sum()),
        "fp": int((~actual & said).sum()),
        "fn": int((actual & ~said).sum()),
        "tn": int((~actual & ~said).sum()),
    }


def best_threshold(y: Any, p: Any) -> float:
    """The threshold with the highest F1, the lowest of equals; 0.5 where no row is positive."""
    import numpy as np
    from sklearn.metrics import precision_recall_curve

    if not np.any(y == 1):
        return 0.5
    precision, recall, thresholds = precision_recall_curve(y, p)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)[:-1]
    return float(thresholds[int(np.argmax(f1))])


def finite(values: dict[str, float]) -> dict[str, float | None]:
    """The figures as JSON holds them: null for NaN."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
