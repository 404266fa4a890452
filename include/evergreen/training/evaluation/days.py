"""Whole local days, resampled: rows of one day are not independent, and intervals from rows are far too narrow.

Every figure is a function of sums by day, so that a resample is a row of weights, how often each day was drawn, and
all resamples are a product of matrices. Two figures of the same days are resampled alike: their difference is paired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from evergreen.params.evaluation import Evaluation as Options
from evergreen.training.evaluation.records import Figure, Figures
from evergreen.training.intervals import calibrated

if TYPE_CHECKING:
    import pandas as pd

UNDEFINED = 0.05  # share of the resamples beyond which a figure that they do not define has no interval


class Tally(Protocol):
    """What figures are made of: sums by day."""

    def at(self, weights: Any) -> dict[str, Any]:
        """Each figure at each row of `weights` (resamples, days): shape (resamples,), NaN where it is not defined."""


@dataclass(frozen=True)
class Resampled:
    """Figures by name: of the days as they were, and (resamples,) of each as they were drawn."""

    values: dict[str, float]
    drawn: dict[str, Any]


@dataclass(frozen=True)
class Days:
    """The days of some rows."""

    number: Any  # (rows,): the row's day as a place among all days that are resampled
    drawn: Any  # (resamples, days): how often each was drawn
    confidence: float
    least: int

    @classmethod
    def of(cls, times: pd.Series, time_zone: str, options: Options) -> Days:
        """The local days of naive UTC times, drawn as often as `options` say by their seed."""
        import numpy as np

        days, number = np.unique(local_days(times, time_zone), return_inverse=True)
        if not len(days):
            return cls(number, np.empty((0, 0)), options.confidence, options.least_days)
        equal = np.full(len(days), 1 / len(days))
        drawn = np.random.default_rng(options.seed).multinomial(len(days), equal, size=options.resamples)
        return cls(number, drawn.astype("float64"), options.confidence, options.least_days)

    @classmethod
    def one(cls, rows: int) -> Days:
        """All rows as one day, for figures without an interval."""
        import numpy as np

        return cls(np.zeros(rows, dtype="int64"), np.ones((1, 1)), confidence=0.9, least=2)

    @property
    def total(self) -> int:
        """Days that are resampled."""
        return int(self.drawn.shape[1])

    @property
    def present(self) -> int:
        """Days that these rows are of."""
        import numpy as np

        return len(np.unique(self.number))

    def take(self, rows: Any) -> Days:
        """The same resamples for some of the rows."""
        return replace(self, number=self.number[rows])

    def sums(self, values: Any) -> Any:
        """(days,) sums of `values` (rows,)."""
        import numpy as np

        return np.bincount(self.number, weights=values, minlength=self.total)

    def resample(self, tally: Tally) -> Resampled:
        """Every figure of a tally, as the days were and as they were drawn."""
        return Resampled(self.values(tally), tally.at(self.drawn))

    def figures(self, found: Resampled) -> Figures:
        """Every figure with its interval."""
        return {name: self.figure(value, found.drawn[name]) for name, value in found.values.items()}

    def differences(self, one: Resampled, other: Resampled) -> Figures:
        """Every figure of `one` minus that of `other`, the same days drawn for both."""
        return {
            name: self.figure(value - other.values[name], one.drawn[name] - other.drawn[name])
            for name, value in one.values.items()
        }

    def values(self, tally: Tally) -> dict[str, float]:
        """Every figure of the days as they were."""
        import numpy as np

        return {name: float(value[0]) for name, value in tally.at(np.ones((1, self.total))).items()}

    def figure(self, value: float, resampled: Any) -> Figure:
        """`value` with the interval of its resamples, expanded for so few days; null where they cannot say."""
        import numpy as np

        defined = resampled[np.isfinite(resampled)]
        if not np.isfinite(value) or self.present < self.least:
            return Figure(value=value)
        if len(defined) < (1 - UNDEFINED) * len(resampled):
            return Figure(value=value)
        tail = 1 - calibrated((1 + self.confidence) / 2, self.present)
        low, high = np.quantile(defined, [tail, 1 - tail])
        return Figure(value=value, low=float(low), high=float(high))


def local_days(times: pd.Series, time_zone: str) -> Any:
    """The local day of each naive UTC time, counted from 1970-01-01."""
    local = times.dt.tz_localize("UTC").dt.tz_convert(time_zone).dt.tz_localize(None)
    return local.astype("datetime64[s]").astype("int64").to_numpy() // 86_400


def ratio(part: Any, whole: Any) -> Any:
    """`part / whole`, NaN where nothing is divided by."""
    import numpy as np

    part, whole = np.broadcast_arrays(np.asarray(part, dtype="float64"), np.asarray(whole, dtype="float64"))
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
