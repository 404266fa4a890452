"""What policies are compared by, and how each is computed when whole days are drawn.

A measure makes a table of its days once; of it, the figure of any days, drawn any number of times, is a product or
two. A further one is a class here and a line in `measures`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evergreen.params.evaluation import Cost
from evergreen.params.prediction import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PER = 1000  # rows that a cost is of


class Days(Protocol):
    """The days of one policy's predictions."""

    def figures(self, drawn: NDArray[np.float64], days: Any) -> NDArray[np.float64]:
        """The measure where those `days` are drawn so often, shape (resamples, days); NaN where it is not defined."""


class Measure(Protocol):
    """A figure of predictions."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def lower_is_better(self) -> bool: ...
    @property
    def digits(self) -> int: ...

    def by_day(self, y: NDArray[np.float64], p: NDArray[np.float64], day: NDArray[np.int64], count: int) -> Days:
        """The table of `count` days; `day` (rows,) numbers them from 0."""


def measures(cost: Cost | None, kind: Kind = "binary", spread: float = 1.0) -> tuple[Measure, ...]:
    """The measures of a label; a cost where its weights are known.

    `spread` is the standard deviation of a regression's outcomes: figures in their unit are shown by it.
    """
    if kind == "regression":
        digits = max(0, 3 - math.floor(math.log10(spread))) if spread > 0 else 3
        return (
            RowMean("mae", "mean absolute error", "mae", digits=digits),
            RowMean("mse", "mean square error", "mse", digits=max(0, 2 * digits - 2)),
        )
    if kind == "multiclass":
        return LOG_LOSS, RowMean("brier", "Brier score", "brier")
    return (RocAuc(), LOG_LOSS, *([Costs(cost)] if cost else []))


def warns_from(cost: Cost) -> float:
    """The probability from which on a warning costs less than none, where probabilities are right."""
    return cost.false_positive / (cost.false_positive + cost.false_negative)


@dataclass(frozen=True)
class RocAuc:
    """The share of pairs of a positive and a negative row that are in the right order; equal p count half."""

    name: str = "roc_auc"
    title: str = "ROC AUC"
    lower_is_better: bool = False
    digits: int = 3

    def by_day(self, y: NDArray[np.float64], p: NDArray[np.float64], day: NDArray[np.int64], count: int) -> Days:
        """Pairs won by day of the positive and day of the negative row."""
        import numpy as np

        counts = [np.bincount(day[y == value], minlength=count).astype("float64") for value in (1, 0)]
        missing = np.bincount(day[~np.isfinite(p)], minlength=count) > 0  # else they would rank above all others
        order = np.argsort(p, kind="stable")
        y, p, day = y[order], p[order], day[order]
        positive, of = p[y == 1], day[y == 1]
        wins = np.zeros((count, count))
        for other, negative in enumerate(_per_day(p[y == 0], day[y == 0], count)):
            below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
            wins[:, other] = np.bincount(of, weights=below / 2, minlength=count)
        wins[missing] = np.nan
        return _Pairs(wins, *counts)


@dataclass(frozen=True)
class _Pairs:
    wins: NDArray[np.float64]
    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]

    def figures(self, drawn: NDArray[np.float64], days: Any) -> NDArray[np.float64]:
        import numpy as np

        won = ((drawn @ self.wins[np.ix_(days, days)]) * drawn).sum(axis=1)
        return _ratio(won, (drawn @ self.positives[days]) * (drawn @ self.negatives[days]))


@dataclass(frozen=True)
class RowMean:
    """The mean of a loss of each row, as the gate knows it."""

    name: str
    title: str
    loss: str
    lower_is_better: bool = True
    digits: int = 3

    def by_day(self, y: NDArray[np.float64], p: NDArray[np.float64], day: NDArray[np.int64], count: int) -> Days:
        """Sums of losses."""
        from evergreen.registry.bootstrap import row_losses

        return mean_by_day(row_losses(self.loss, y, p), day, count)


LOG_LOSS = RowMean("log_loss", "log-loss", "log_loss")


@dataclass(frozen=True)
class Costs:
    """The cost of a thousand rows where one warns as soon as that costs less than not to."""

    cost: Cost
    name: str = "cost"
    title: str = "cost per 1,000"
    lower_is_better: bool = True
    digits: int = 0

    def by_day(self, y: NDArray[np.float64], p: NDArray[np.float64], day: NDArray[np.int64], count: int) -> Days:
        """Sums of costs."""
        import numpy as np

        warned = p >= warns_from(self.cost)
        missed, needless = (y == 1) & ~warned, (y == 0) & warned
        costs = np.where(missed, self.cost.false_negative, 0.0) + np.where(needless, self.cost.false_positive, 0.0)
        return mean_by_day(np.where(np.isfinite(p), PER * costs, np.nan), day, count)


@dataclass(frozen=True)
class _Means:
    sums: NDArray[np.float64]
    rows: NDArray[np.float64]

    def figures(self, drawn: NDArray[np.float64], days: Any) -> NDArray[np.float64]:
        return _ratio(drawn @ self.sums[days], drawn @ self.rows[days])


def _per_day(values: NDArray[np.float64], day: NDArray[np.int64], count: int) -> list[NDArray[np.float64]]:
    """The values of each day, in the order that they have."""
    import numpy as np

    order = np.argsort(day, kind="stable")
    parts: list[NDArray[np.float64]] = np.split(values[order], np.searchsorted(day[order], np.arange(1, count)))
    return parts


def mean_by_day(values: NDArray[np.float64], day: NDArray[np.int64], count: int) -> _Means:
    """The table of a mean of `values` (rows,)."""
    import numpy as np

    sums = np.asarray(np.bincount(day, weights=values, minlength=count), dtype="float64")
    return _Means(sums, np.bincount(day, minlength=count).astype("float64"))


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    found: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return found
