"""Figures with intervals: whole days are drawn, the same for every policy, so that differences are paired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.backtest.results import Figure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def drawn(days: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """How often each day is drawn: first each day once, which gives the value itself, then the resamples."""
    import numpy as np

    if not days:
        return np.zeros((resamples + 1, 0))
    counts = np.random.default_rng(seed).multinomial(days, np.full(days, 1 / days), size=resamples)
    return np.vstack([np.ones(days), counts.astype("float64")])


def figure(values: NDArray[np.float64], days: int, confidence: float) -> Figure:
    """The value and its two-sided interval, from what `drawn` gave; a resample that is not defined leaves it open.

    The interval is the expanded percentile of `training.intervals.calibrated`, half of 1 - `confidence` on either side.
    """
    import numpy as np

    from evergreen.training.intervals import calibrated

    if days < 2 or not np.isfinite(values).all():
        return Figure(value=float(values[0]), low=None, high=None)
    share = calibrated((1 + confidence) / 2, days)
    low, high = np.quantile(values[1:], [1 - share, share])
    return Figure(value=float(values[0]), low=float(low), high=float(high))
