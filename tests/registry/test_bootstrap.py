"""The day-block bootstrap: what it counts, and why it resamples days and not rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evergreen.registry.bootstrap import calibrated, compare_by_day, row_losses
from evergreen.training.metrics import binary_metrics


def test_row_losses_average_to_the_metric() -> None:
    random = np.random.default_rng(0)
    label, p = random.integers(0, 2, 500).astype(float), random.random(500)
    p[:2], label[:2] = (0, 1), (1, 0)  # certain and wrong: it costs much, but not infinity
    for metric in ("log_loss", "brier"):
        expected = binary_metrics(label, p, 0.5)[metric]
        assert row_losses(metric, label, p).mean() == pytest.approx(expected)
        assert np.isfinite(expected)
    with pytest.raises(ValueError, match="log_loss and brier"):
        row_losses("roc_auc", label, p)


def test_it_counts_as_a_loop_over_resamples_does() -> None:
    random = np.random.default_rng(1)
    day = random.integers(100, 112, 300)
    difference = random.normal(-0.02, 0.3, 300)
    found = compare_by_day(difference, day, confidence=0.9, resamples=4000, seed=5)
    days = np.unique(day)
    means = []
    for _ in range(4000):
        rows = np.concatenate([difference[day == one] for one in random.choice(days, len(days))])
        means.append(rows.mean())
    assert found.difference == pytest.approx(difference.mean())
    assert found.better == pytest.approx(np.mean(np.array(means) < 0), abs=0.03)
    assert found.low == pytest.approx(np.quantile(means, 1 - found.needed), abs=0.006)
    assert found.better + found.worse == pytest.approx(1)


def test_the_share_needed_puts_right_what_few_days_do_to_a_bootstrap() -> None:
    assert calibrated(0.9, 10_000) == pytest.approx(0.9, abs=1e-4)
    assert 0.9 < calibrated(0.9, 28) < calibrated(0.9, 7) < 1
    # The bootstrap's SD of the mean of 7 days is sqrt(6 / 7) of the unbiased one; Student's 90 % point is 1.44 of that.
    assert stats.norm.ppf(calibrated(0.9, 7)) == pytest.approx(np.sqrt(7 / 6) * stats.t.ppf(0.9, 6))


def test_rows_of_one_day_err_together_so_that_resampling_rows_would_promote_by_chance() -> None:
    shares = {"day": 0, "row": 0}
    for seed in range(100):
        random = np.random.default_rng(seed)
        day = np.repeat(np.arange(28), 50)
        difference = random.normal(0, 0.3, 28)[day] + random.normal(0, 0.5, len(day))  # no difference but by day
        for unit, blocks in (("day", day), ("row", np.arange(len(day)))):
            found = compare_by_day(difference, blocks, confidence=0.9, resamples=100, seed=0)
            shares[unit] += found.better >= found.needed
    limit = stats.binom.ppf(0.99, 100, 0.1)
    assert shares["day"] <= limit < 2 * limit < shares["row"]
