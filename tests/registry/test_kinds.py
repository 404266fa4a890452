"""The gate on numbers and on several classes: the same rules, by the losses, floors and counts of the kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import log_loss

from evergreen.params.gate import Gate
from evergreen.paths import Home
from evergreen.registry.bootstrap import row_losses
from evergreen.registry.evidence import as_evidence, evidence_schema, load_evidence, store_evidence
from evergreen.registry.gate import Evidence, Facts, Verdict, decide
from evergreen.training.metrics import metrics_of
from evergreen.training.predictions import as_array, as_column, no_column
from tests.registry.test_gate import World, facts, first, rule

CLASSES = ("red", "green", "blue")


class Numbers(World):
    """The same days, with a number whose mean is known."""

    def __init__(self) -> None:
        super().__init__()
        self.truth = 100 + 40 * self.score
        self.label = self.truth + self.random.normal(0, 30, len(self.truth))

    def judge(self, candidate: Any, champion: Any = None, gate: Gate | None = None, **changes: Any) -> Verdict:
        told = (first if champion is None else facts)(kind="regression", threshold=None, **changes)
        return decide(self.evidence(candidate, champion), gate or Gate(resamples=500), told)


class Classes(World):
    """The same days, with one of three classes whose chances are known."""

    def __init__(self) -> None:
        super().__init__()
        pull = np.exp(np.column_stack([self.score, -self.score, np.zeros(len(self.score))]))
        self.chances = pull / pull.sum(axis=1, keepdims=True)
        self.label = np.array([self.random.choice(3, p=one) for one in self.chances]).astype("float64")

    def judge(self, candidate: Any, champion: Any = None, gate: Gate | None = None, **changes: Any) -> Verdict:
        told = (first if champion is None else facts)(kind="multiclass", classes=CLASSES, threshold=None, **changes)
        return decide(self.evidence(candidate, champion), gate or Gate(resamples=500), told)


def test_row_losses_average_to_the_metric_of_the_kind() -> None:
    numbers, classes = Numbers(), Classes()
    for metric in ("mae", "mse"):
        expected = metrics_of("regression", numbers.label, numbers.truth)[metric]
        assert row_losses(metric, numbers.label, numbers.truth).mean() == pytest.approx(expected)
    for metric in ("log_loss", "brier"):
        expected = metrics_of("multiclass", classes.label, classes.chances)[metric]
        assert row_losses(metric, classes.label, classes.chances).mean() == pytest.approx(expected)
    assert row_losses("log_loss", classes.label, classes.chances).mean() == pytest.approx(
        log_loss(classes.label, classes.chances)
    )


@pytest.mark.parametrize("metric", [None, "mae", "mse"])
def test_a_better_number_is_promoted_and_a_worse_one_rejected(metric: Any) -> None:
    world, gate = Numbers(), Gate(resamples=500, metric=metric)
    assert world.judge(world.truth, world.truth + 8, gate).verdict == "promote"
    worse = world.judge(world.truth + 8, world.truth, gate)
    assert worse.verdict == "reject"
    assert f"worse than old in {metric or 'mae'}" in worse.reason
    almost = world.truth.copy()
    almost[0] += 1  # a day in a resample, or not
    assert world.judge(almost, world.truth, gate).verdict == "inconclusive"


def test_a_first_number_has_the_floors_of_its_kind_and_no_counts_of_classes() -> None:
    world = Numbers()
    gate = Gate(floor={"r2": 0.6, "mae": 30, "rmse": 40, "mse": 1600}, resamples=500)
    verdict = world.judge(world.truth, gate=gate)
    assert verdict.verdict == "promote"
    assert [one.rule for one in verdict.rules if one.rule.startswith("enough")] == ["enough.rows", "enough.days"]
    bad = world.judge(np.full_like(world.truth, 100), gate=gate)
    assert bad.verdict == "reject"
    assert {one.rule for one in bad.rules if one.passed is False} >= {"floor.r2", "floor.rmse", "floor.mse"}


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_number_that_is_none_promotes_nobody(wrong: float) -> None:
    world = Numbers()
    said = world.truth.copy()
    said[3] = wrong
    verdict = world.judge(said)
    assert verdict.verdict == "inconclusive"
    assert "values are missing or not finite: 1 of candidate" in verdict.reason
    broken = replace(world.evidence(world.truth), label=np.where(np.arange(len(said)) == 5, wrong, world.label))
    told = first(kind="regression", threshold=None)
    assert "1 of labels" in decide(broken, Gate(), told).reason


def test_a_better_model_of_classes_is_promoted_and_a_worse_one_rejected() -> None:
    world = Classes()
    flat = np.full_like(world.chances, 1 / 3)
    weak = (world.chances + flat) / 2
    assert world.judge(world.chances, weak).verdict == "promote"
    worse = world.judge(weak, world.chances)
    assert worse.verdict == "reject"
    assert "worse than old in log_loss" in worse.reason
    gate = Gate(floor={"macro_roc_auc": 0.7, "accuracy": 0.5, "macro_f1": 0.4, "log_loss": 1.0}, resamples=500)
    assert world.judge(world.chances, gate=gate).verdict == "promote"
    assert world.judge(flat, gate=gate).verdict == "reject"


def test_a_class_with_too_few_rows_or_a_chance_that_is_none_is_inconclusive() -> None:
    world = Classes()
    rare = replace(world.evidence(world.chances), label=np.where(world.label == 2, 1.0, world.label))
    told = first(kind="multiclass", classes=CLASSES, threshold=None)
    verdict = decide(rare, Gate(), told)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == "the gate window has 0 rows of blue; at least 50 are needed"
    assert rule(verdict, "enough.rows of red").passed
    said = world.chances.copy()
    said[4, 1] = np.nan
    assert "not probabilities: 1 of candidate" in world.judge(said).reason
    strange = replace(world.evidence(world.chances), label=np.where(np.arange(len(said)) == 1, 3.0, world.label))
    assert "1 of labels" in decide(strange, Gate(), told).reason


def test_an_accuracy_may_be_a_floor_of_a_binary_label_and_old_decisions_hold_no_more_metrics() -> None:
    world = World()
    verdict = decide(world.evidence(world.planted("good")), Gate(floor={"accuracy": 0.6}), first())
    assert rule(verdict, "floor.accuracy").passed
    assert set(verdict.metrics["candidate"]) == {
        "roc_auc", "pr_auc", "log_loss", "brier", "precision", "recall", "f1", "accuracy",
    }  # fmt: skip
    plain = decide(world.evidence(world.planted("good")), Gate(), first())
    assert set(plain.metrics["candidate"]) == {"roc_auc", "pr_auc", "log_loss", "brier", "precision", "recall", "f1"}
    old = {key: value for key, value in first().model_dump().items() if key not in ("kind", "classes")}
    assert Facts.model_validate(old) == first(), "the facts of a decision made before kinds had names"


def rows(candidate: np.ndarray, champion: np.ndarray | None) -> pa.Table:
    moment, count = datetime(2013, 3, 4, 12), len(candidate)
    columns = [
        [f"{place}" for place in range(count)], *[[moment] * count] * 3, [float(place % 3) for place in range(count)],
        as_column(candidate), no_column(count, 3) if champion is None else as_column(champion), [7] * count,
    ]  # fmt: skip
    schema = evidence_schema(3)
    arrays = [
        one if isinstance(one, pa.Array) else pa.array(one, t) for one, t in zip(columns, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def test_evidence_keeps_a_chance_a_class_and_none_of_a_champion(tmp_path: Path) -> None:
    home, random = Home(tmp_path), np.random.default_rng(0)
    mine, theirs = random.random((20, 3)), random.random((20, 3))
    both = as_evidence(load_evidence(home, store_evidence(home, rows(mine, theirs))))
    order = np.argsort([f"{place}" for place in range(20)])
    np.testing.assert_array_equal(both.candidate, mine[order])
    assert both.champion is not None
    np.testing.assert_array_equal(both.champion, theirs[order])
    alone: Evidence = as_evidence(load_evidence(home, store_evidence(home, rows(mine, None))))
    assert alone.champion is None
    np.testing.assert_array_equal(alone.candidate, mine[order])


def test_predictions_are_read_back_as_they_were_and_another_number_of_classes_is_refused() -> None:
    p = np.random.default_rng(0).random((5, 4))
    np.testing.assert_array_equal(as_array(as_column(p), 4), p)
    np.testing.assert_array_equal(as_array(as_column(p[:, 0])), p[:, 0])
    np.testing.assert_array_equal(as_array(as_column(p[:, :1])), p[:, 0], "a number may stand in a list of its own")
    assert np.isnan(as_array(no_column(3, 4), 4)).all()
    assert np.isnan(as_array(no_column(3))).all()
    assert as_array(as_column(np.empty((0, 4))), 4).shape == (0, 4)
    with pytest.raises(ValueError, match="a prediction of 4 numbers, where there are 3"):
        as_array(as_column(p), 3)
