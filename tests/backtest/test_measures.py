"""The figures of drawn days against scikit-learn on the rows that were drawn, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from evergreen.backtest.intervals import drawn, figure
from evergreen.backtest.measures import measures
from evergreen.params.evaluation import Cost

COST = Cost(false_negative=5, false_positive=1)
DAYS = 12


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    p = rng.random(600).round(2)  # with many equal ones
    return (rng.random(600) < p).astype(float), p, np.sort(rng.integers(0, DAYS, 600))


def by_hand(name: str, y: np.ndarray, p: np.ndarray) -> float:
    if name == "roc_auc":
        return float(roc_auc_score(y, p))
    if name == "log_loss":
        return float(log_loss(y, np.clip(p, 1e-15, 1 - 1e-15)))
    warned = p >= 1 / 6
    return 1000 * float(np.mean(5 * ((y == 1) & ~warned) + ((y == 0) & warned)))


@pytest.mark.parametrize("place", range(3))
def test_every_draw_is_the_measure_of_the_drawn_rows(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray], place: int
) -> None:
    y, p, day = rows
    measure = measures(COST)[place]
    often = drawn(DAYS, 20, 0)
    found = measure.by_day(y, p, day, DAYS).figures(often, np.arange(DAYS))
    for counts, value in zip(often, found, strict=True):
        taken = np.concatenate([np.flatnonzero(day == one) for one in range(DAYS) for _ in range(int(counts[one]))])
        assert value == pytest.approx(by_hand(measure.name, y[taken], p[taken]))
    assert found[0] == pytest.approx(by_hand(measure.name, y, p)), "the first draw is every day once"


@pytest.mark.parametrize("place", range(3))
def test_days_of_a_period_are_its_rows_alone(rows: tuple[np.ndarray, np.ndarray, np.ndarray], place: int) -> None:
    y, p, day = rows
    measure, days = measures(COST)[place], np.array([2, 3, 7])
    found = measure.by_day(y, p, day, DAYS).figures(drawn(3, 5, 0), days)
    inside = np.isin(day, days)
    assert found[0] == pytest.approx(by_hand(measure.name, y[inside], p[inside]))


def test_one_class_and_no_rows_are_not_defined() -> None:
    auc, loss, _ = measures(COST)
    y, p, day = np.zeros(10), np.full(10, 0.3), np.arange(10) % 2
    assert np.isnan(auc.by_day(y, p, day, 2).figures(drawn(2, 5, 0), np.arange(2))).all()
    assert np.isfinite(loss.by_day(y, p, day, 2).figures(drawn(2, 5, 0), np.arange(2))).all()
    nothing = np.zeros(0)
    empty = loss.by_day(nothing, nothing, nothing.astype("int64"), 0).figures(drawn(0, 5, 0), np.arange(0))
    shown = figure(empty, 0, 0.9)
    assert (shown.value, shown.low, shown.high) == (None, None, None)


def test_a_missing_prediction_leaves_its_days_undefined_and_no_other(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    y, p, day = rows
    p = np.where(np.arange(600) == np.flatnonzero(day == 4)[0], np.nan, p)
    for measure in measures(COST):
        table = measure.by_day(y, p, day, DAYS)
        assert np.isnan(table.figures(drawn(DAYS, 5, 0), np.arange(DAYS))[0]), measure.name
        assert np.isfinite(table.figures(drawn(4, 5, 0), np.arange(4))).all(), measure.name


def test_an_interval_with_an_undefined_resample_or_one_day_is_left_open() -> None:
    assert figure(np.array([0.7, 0.6, np.nan]), 9, 0.9).low is None
    assert figure(np.array([0.7, 0.7, 0.7]), 1, 0.9).high is None


def test_intervals_cover_at_about_their_confidence() -> None:
    rng, hits = np.random.default_rng(2), 0
    for seed in range(300):
        means = rng.normal(0, 1, 20)  # a day's mean; the truth is 0
        shown = figure(drawn(20, 400, seed) @ means / 20, 20, 0.9)
        assert shown.low is not None
        assert shown.high is not None
        hits += shown.low <= 0 <= shown.high
    assert 0.85 <= hits / 300 <= 0.95
