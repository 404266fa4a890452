"""Paired differences of two models' losses, with whole days resampled: rows of one day are not independent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.training.intervals import calibrated

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Blocks:
    """The days of some rows, and the resamples of them: one seed draws the same for every figure of the same days."""

    place: Any  # (rows,): the row's day as a place among the days
    drawn: Any  # (resamples, days): how often each was drawn

    @classmethod
    def of(cls, day: np.ndarray, *, resamples: int, seed: int) -> Blocks:
        """Days as numbers (rows,), drawn with replacement."""
        import numpy as np

        days, place = np.unique(day, return_inverse=True)
        # A resample is how often each day was drawn: (resamples, days) counts give every mean in two products.
        drawn = np.random.default_rng(seed).multinomial(len(days), np.full(len(days), 1 / len(days)), size=resamples)
        return cls(place, drawn)

    @property
    def days(self) -> int:
        """How many there are."""
        return int(self.drawn.shape[1])

    def sums(self, values: Any, group: Any, groups: int) -> Any:
        """(days, `groups`) sums of `values` (rows,); rows of a `group` below 0 are left out."""
        import numpy as np

        kept = group >= 0
        cell = self.place[kept] * groups + group[kept]
        return np.bincount(cell, weights=values[kept], minlength=self.days * groups).reshape(self.days, groups)


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


def swapped_by_day(difference: np.ndarray, day: np.ndarray, *, resamples: int, seed: int) -> float:
    """Where the two models change places on random days: how often the candidate then does as well, or better.

    Where it does not matter on which day which is called the candidate, this share is at most q in no more than q of
    all cases, whatever the tails of the days: the randomization test of E. Pitman (1937), with its own case counted
    among the random ones, as B. Phipson and G. Smyth (2010) advise. It does matter where days depend on each other, or
    where one model errs seldom and much, the other often and little: there more pass than q (docs/gate.md).
    """
    import numpy as np

    _, place = np.unique(day, return_inverse=True)
    sums = np.bincount(place, weights=difference)
    signs = np.random.default_rng(seed).integers(0, 2, size=(resamples, len(sums))) * 2 - 1
    return float((1 + (signs @ sums <= sums.sum()).sum()) / (1 + resamples))


def compare_by_day(
    difference: np.ndarray, day: np.ndarray, *, confidence: float, resamples: int, seed: int
) -> Comparison:
    """Resample whole days with replacement; `difference` (n,) is the candidate's loss minus the champion's."""
    import numpy as np

    blocks = Blocks.of(day, resamples=resamples, seed=seed)
    sums, rows = np.bincount(blocks.place, weights=difference), np.bincount(blocks.place)
    means = (blocks.drawn @ sums) / (blocks.drawn @ rows)
    needed = calibrated(confidence, blocks.days)
    low, high = np.quantile(means, [(1 - needed), needed])
    return Comparison(
        difference=float(difference.mean()), low=float(low), high=float(high),
        better=float((means < 0).mean()), worse=float((means > 0).mean()), needed=needed,
    )  # fmt: skip
