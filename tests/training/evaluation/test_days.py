"""Intervals: whole days are resampled, and few of them say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from evergreen.params.evaluation import Evaluation as Options
from evergreen.training.evaluation.binary import Binary
from evergreen.training.evaluation.days import Days, local_days
from evergreen.training.evaluation.ranking import AveragePrecision, RocAuc

CONFIDENCE = 0.9
OPTIONS = Options(resamples=200, confidence=CONFIDENCE)


@dataclass(frozen=True)
class World:
    """Rows of days that share an effect: late days are late for all, and the model does not see it."""

    days: int
    rows: int  # of a day

    def draw(self, seed: int) -> tuple[pd.Series, np.ndarray, np.ndarray]:
        """Times, outcomes and predictions."""
        random = np.random.default_rng(seed)
        day = np.repeat(np.arange(self.days), self.rows)
        logit = random.normal(size=len(day)) - 1
        effect = random.normal(scale=0.8, size=self.days)[day]
        y = (random.random(len(day)) < 1 / (1 + np.exp(-(logit + effect)))).astype("float64")
        times = np.datetime64("2024-01-01T12", "us") + day.astype("timedelta64[D]")
        return pd.Series(times), y, 1 / (1 + np.exp(-logit))


def rowwise(days: Days) -> Days:
    """The same rows, each of them a day of its own."""
    rows = len(days.number)
    drawn = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), size=OPTIONS.resamples)
    return Days(np.arange(rows), drawn.astype("float64"), CONFIDENCE, 5)


def test_day_blocks_cover_what_rows_do_not() -> None:
    world, tries, names = World(days=14, rows=60), 150, ("log_loss", "rate", "roc_auc")
    truth = Days.one(4000 * 60)
    _, y, p = World(days=4000, rows=60).draw(seed=10**6)
    true = truth.values(Binary.of(y, p, 0.5, truth))
    covered = dict.fromkeys([*names, "rate by rows"], 0)
    for seed in range(tries):
        times, y, p = world.draw(seed)
        days = Days.of(times, "UTC", OPTIONS)
        found = days.figures(days.resample(Binary.of(y, p, 0.5, days)))
        for name in names:
            covered[name] += found[name].low <= true[name] <= found[name].high
        alone = rowwise(days)
        rates = alone.figure(y.mean(), (alone.drawn @ y) / len(y))
        covered["rate by rows"] += rates.low <= true["rate"] <= rates.high
    share = {name: count / tries for name, count in covered.items()}
    assert all(0.84 <= share[name] <= 0.97 for name in names), share
    assert share["rate by rows"] < 0.6, share


@pytest.mark.parametrize("ties", [False, True])
def test_a_resample_is_what_scikit_learn_says_of_the_rows_drawn(ties: bool) -> None:
    times, y, p = World(days=9, rows=40).draw(seed=3)
    p = p.round(1) if ties else p
    days = Days.of(times, "UTC", OPTIONS)
    roc, precise = (kind.of(y, p, days).at(days.drawn) for kind in (RocAuc, AveragePrecision))
    for place in (0, 7, 199):
        drawn = days.drawn[place][days.number]
        assert roc[place] == pytest.approx(roc_auc_score(y, p, sample_weight=drawn))
        assert precise[place] == pytest.approx(average_precision_score(y, p, sample_weight=drawn))


def test_the_same_figures_differ_by_nothing() -> None:
    times, y, p = World(days=10, rows=30).draw(seed=1)
    days = Days.of(times, "UTC", OPTIONS)
    found = days.resample(Binary.of(y, p, 0.5, days))
    same = days.differences(found, found)
    assert (same["roc_auc"].value, same["roc_auc"].low, same["roc_auc"].high) == (0, 0, 0)


@pytest.mark.parametrize(("count", "known"), [(1, False), (4, False), (5, True)])
def test_fewer_than_a_handful_of_days_give_no_interval(count: int, known: bool) -> None:
    times, y, p = World(days=count, rows=200).draw(seed=2)
    days = Days.of(times, "UTC", OPTIONS)
    figure = days.figures(days.resample(Binary.of(y, p, 0.5, days)))["log_loss"]
    assert figure.value == pytest.approx(Days.one(len(y)).values(Binary.of(y, p, 0.5, Days.one(len(y))))["log_loss"])
    assert (figure.low is not None, figure.high is not None) == (known, known)


def test_rows_that_are_on_few_of_the_days_have_no_interval() -> None:
    times, y, p = World(days=20, rows=10).draw(seed=2)
    days = Days.of(times, "UTC", OPTIONS).take(slice(0, 40))
    assert (days.total, days.present) == (20, 4)
    assert days.figures(days.resample(Binary.of(y[:40], p[:40], 0.5, days)))["brier"].low is None


def test_what_many_resamples_do_not_define_has_no_interval() -> None:
    times, y, p = World(days=20, rows=10).draw(seed=2)
    y = np.zeros(len(y))
    y[3] = 1.0  # a third of the resamples have no positive row
    days = Days.of(times, "UTC", OPTIONS)
    found = days.figures(days.resample(Binary.of(y, p, 0.5, days)))
    assert found["roc_auc"].value is not None
    assert found["roc_auc"].low is None
    assert found["log_loss"].low is not None


def test_days_are_local() -> None:
    times = pd.Series(np.array(["2024-03-10T04:59", "2024-03-10T05:00", "2024-03-11T03:59"], dtype="datetime64[us]"))
    days: Any = local_days(times, "America/New_York")
    assert (days - days[0]).tolist() == [0, 1, 1]
    assert len(set(local_days(times, "UTC").tolist())) == 2
