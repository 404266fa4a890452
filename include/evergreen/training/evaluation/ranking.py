"""ROC AUC and average precision with whole days resampled, without sorting for each resample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evergreen.training.evaluation.days import Days, ratio


@dataclass(frozen=True)
class RocAuc:
    """The share of pairs, a positive row and a negative one, that the score puts in order; a tie is half of one.

    Such pairs are counted once by the days of their two rows: a resample weighs each count by both days' weights.
    """

    pairs: Any  # (days, days): in order, by the day of the positive row and that of the negative one
    positives: Any  # (days,)
    negatives: Any

    @classmethod
    def of(cls, y: Any, score: Any, days: Days) -> RocAuc:
        """Of scores (rows,) and outcomes that are 1 or not."""
        import numpy as np

        positive = y == 1
        order = np.argsort(score[positive])
        high, its_day = score[positive][order], days.number[positive][order]
        low, low_day = score[~positive], days.number[~positive]
        pairs = np.zeros((days.total, days.total))
        for day in np.unique(low_day):
            below = np.sort(low[low_day == day])
            credit = np.searchsorted(below, high, "left") + np.searchsorted(below, high, "right")
            pairs[:, day] = np.bincount(its_day, weights=credit / 2, minlength=days.total)
        return cls(pairs, days.sums(positive), days.sums(~positive))

    def at(self, weights: Any) -> Any:
        """(resamples,)."""
        ordered = ((weights @ self.pairs) * weights).sum(axis=1)
        return ratio(ordered, (weights @ self.positives) * (weights @ self.negatives))


@dataclass(frozen=True)
class AveragePrecision:
    """The precision at each score that is a threshold, weighed by the recall that it adds.

    Rows of one score and one day are one cell; cells are held in falling order of score.
    """

    day: Any  # (cells,)
    rows: Any
    positives: Any
    ends: Any  # the last cell of each score

    @classmethod
    def of(cls, y: Any, score: Any, days: Days) -> AveragePrecision:
        """Of scores (rows,) and outcomes that are 1 or not."""
        import numpy as np

        place = np.unique(-score, return_inverse=True)[1]
        code, cell = np.unique(place * max(days.total, 1) + days.number, return_inverse=True)
        rank = code // max(days.total, 1)
        ends = np.flatnonzero(np.append(np.diff(rank) > 0, True)) if len(code) else np.empty(0, dtype="int64")
        rows = np.bincount(cell, minlength=len(code)).astype("float64")
        positives = np.bincount(cell, weights=y == 1, minlength=len(code)).astype("float64")
        return cls(code % max(days.total, 1), rows, positives, ends)

    def at(self, weights: Any) -> Any:
        """(resamples,)."""
        import numpy as np

        return np.array([self._one(line) for line in weights], dtype="float64")

    def _one(self, weights: Any) -> float:
        import numpy as np

        drawn = weights[self.day]
        true = np.cumsum(drawn * self.positives)[self.ends]
        said = np.cumsum(drawn * self.rows)[self.ends]
        if not len(true) or not true[-1]:
            return float("nan")
        precision = np.divide(true, said, out=np.zeros_like(true), where=said > 0)
        return float(np.dot(np.diff(true, prepend=0.0), precision) / true[-1])
