"""How good probabilities are. A figure that is not defined for the rows at hand is NaN, never a flattering number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from evergreen.params.prediction import Kind

if TYPE_CHECKING:
    from evergreen.params.evaluation import Cost

# What a model of each kind is judged by first; lower is better in all three.
PRIMARY: dict[Kind, str] = {"binary": "log_loss", "multiclass": "log_loss", "regression": "mae"}

# Probabilities are kept this far from 0 and 1 where their logarithm is taken.
EPSILON = 1e-15


def metrics_of(kind: Kind, y: Any, p: Any, threshold: float | None = None) -> dict[str, float]:
    """The metrics of a model of any kind by their names; accuracy never without the majority rate beside it.

    `y` holds 0 and 1, places of classes or values; `p` has shape (rows,), of a multiclass model (rows, classes). Only a
    binary model needs a threshold. A prediction that is no number, or no probability, leaves nothing defined.
    """
    import numpy as np

    from evergreen.training.evaluation.days import Days
    from evergreen.training.evaluation.multiclass import Multiclass
    from evergreen.training.evaluation.regression import Regression

    y, p = np.asarray(y, dtype="float64"), np.asarray(p, dtype="float64")
    if kind == "binary":
        return binary_metrics(y, p, 0.5 if threshold is None else threshold) | _accuracy(y, p, threshold)
    one_day = Days.one(len(y))
    if kind == "multiclass":
        return one_day.values(Multiclass.of(y, p, one_day, pr_auc=True))
    return one_day.values(Regression.of(y, p, one_day))


def binary_metrics(y: Any, p: Any, threshold: float) -> dict[str, float]:
    """ROC AUC, PR AUC (average precision), log-loss (nats), Brier score; precision, recall, F1 at p >= threshold.

    `y` holds 0 and 1, `p` P(y = 1). Without rows all are NaN, and where a prediction is no probability; with one class
    ROC AUC is; PR AUC and recall need a positive row, precision a predicted one.
    """
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    y, p = np.asarray(y, dtype="float64"), np.asarray(p, dtype="float64")
    if not probabilities(p):
        return dict.fromkeys(("roc_auc", "pr_auc", "log_loss", "brier", "precision", "recall", "f1"), math.nan)
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


def class_log_losses(y: Any, p: Any) -> Any:
    """Each row's logarithmic loss in nats, of the class whose place is its label."""
    import numpy as np

    said = np.take_along_axis(p, y.astype("int64")[:, None], axis=1)[:, 0]
    return -np.log(np.clip(said, EPSILON, 1.0))


def probabilities(p: Any) -> bool:
    """Whether every prediction lies between 0 and 1; none that is NaN or infinite does."""
    import numpy as np

    return bool(np.all((p >= 0) & (p <= 1)))


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


def cheapest_threshold(y: Any, p: Any, cost: Cost) -> float:
    """The threshold with the lowest cost, the lowest of equals; above every prediction where never is cheapest.

    Without rows it is the one that is cheapest where probabilities are right.
    """
    import numpy as np

    if not len(y):
        return cost.false_positive / (cost.false_positive + cost.false_negative)
    values, place = np.unique(p, return_inverse=True)
    positives = np.bincount(place, weights=y == 1)
    negatives = np.bincount(place, weights=y != 1)
    missed = np.concatenate([[0.0], np.cumsum(positives)])  # below each threshold, the last of which nothing reaches
    warned = negatives.sum() - np.concatenate([[0.0], np.cumsum(negatives)])
    thresholds = np.append(values, np.nextafter(values[-1], np.inf))
    return float(thresholds[int(np.argmin(cost.false_negative * missed + cost.false_positive * warned))])


def finite(values: dict[str, float]) -> dict[str, float | None]:
    """The figures as JSON holds them: null for NaN."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _accuracy(y: Any, p: Any, threshold: float | None) -> dict[str, float]:
    cells = confusion(y, p, 0.5 if threshold is None else threshold)
    positives = cells["tp"] + cells["fn"]
    right = cells["tp"] + cells["tn"]
    return {
        "accuracy": _ratio(right, len(y)) if probabilities(p) else math.nan,
        "majority_rate": _ratio(max(positives, len(y) - positives), len(y)),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
