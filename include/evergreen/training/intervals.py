"""How wide an interval must be that comes from few resampled blocks."""

from __future__ import annotations


def calibrated(confidence: float, days: int) -> float:
    """The bootstrap share that stands for `confidence` where only `days` blocks were resampled.

    A percentile bootstrap of n blocks is too narrow: it has the variance with n in place of n - 1, and normal tails in
    place of Student's. The expanded percentile puts both right: Phi(sqrt(n / (n - 1)) t(confidence; n - 1)), from
    T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69 (2015), section 5.3.
    """
    from scipy import stats

    return float(stats.norm.cdf((days / (days - 1)) ** 0.5 * stats.t.ppf(confidence, days - 1)))
