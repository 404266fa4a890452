"""Paired differences of two models' losses, with whole days resampled: rows of one day are not independent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evergreen.training.intervals import calibrated

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Comparison:
    """Candidate minus champion, so that below zero the candidate is better."""

    difference: float  # of the mean losses
    low: float  # the interval of that difference at the confidence, two-sided
    high: float
    better: float  # share of the resamples with a difference below zero
    worse: float  # share above zero
    needed: float  # the share that shows a difference at the confidence, given so many days


def row_losses(metric: str, label: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The loss of each row, whose mean is the metric.

    Labels (n,) and predictions as `training.artifacts.predict` gives them: log_loss and brier of probabilities, of
    shape (n,) or (n, classes); mae and mse of values. Raises ValueError for a metric that is no mean over rows.
    """
    import numpy as np

    from evergreen.training.metrics import class_log_losses, log_losses

    losses: np.ndarray
    if metric == "log_loss":
        losses = log_losses(label, p) if p.ndim == 1 else class_log_losses(label, p)
    elif metric == "brier" and p.ndim > 1:
        losses = ((p - np.eye(p.shape[1])[label.astype("int64")]) ** 2).sum(axis=1)
    elif metric in ("brier", "mse"):
        losses = (p - label) ** 2
    elif metric == "mae":
        losses = np.abs(p - label)
    else:
        raise ValueError(
            f"`{metric}` is not a mean over rows; days can be resampled for log_loss and brier, mae and mse"
        )
    return losses


def compare_by_day(
    difference: np.ndarray, day: np.ndarray, *, confidence: float, resamples: int, seed: int
) -> Comparison:
    """Resample whole days with replacement; `difference` (n,) is the candidate's loss minus the champion's."""
    import numpy as np

    days, place = np.unique(day, return_inverse=True)
    sums = np.bincount(place, weights=difference)
    rows = np.bincount(place)
    # A resample is how often each day was drawn: (resamples, days) counts give every mean in two products.
    drawn = np.random.default_rng(seed).multinomial(len(days), np.full(len(days), 1 / len(days)), size=resamples)
    means = (drawn @ sums) / (drawn @ rows)
    needed = calibrated(confidence, len(days))
    low, high = np.quantile(means, [(1 - needed), needed])
    return Comparison(
        difference=float(difference.mean()), low=float(low), high=float(high),
        better=float((means < 0).mean()), worse=float((means > 0).mean()), needed=needed,
    )  # fmt: skip
