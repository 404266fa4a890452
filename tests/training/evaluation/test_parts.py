"""Baselines, costs, segments, fairness and importance, each on rows whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fairlearn

from evergreen.params.evaluation import Cost, Cut
from evergreen.training.evaluation.fairness import fairness_of
from evergreen.training.evaluation.levels import levels_of
from evergreen.training.metrics import cheapest_threshold, confusion
from tests.training.evaluation.scenes import Scene

COST = Cost(false_negative=5, false_positive=1)


def drawn(rows: int = 1200, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    p = random.random(rows)
    return (random.random(rows) < p).astype("float64"), p


def test_the_cheapest_threshold_is_cheapest() -> None:
    y, p = drawn(300)
    found = cheapest_threshold(y, p, COST)

    def cost(threshold: float) -> float:
        cells = confusion(y, p, threshold)
        return 5 * cells["fn"] + cells["fp"]

    assert cost(found) == min(cost(threshold) for threshold in [*p.tolist(), 2.0])
    assert 0.05 < found < 0.3  # 1/6, where probabilities are right
    assert cheapest_threshold(np.empty(0), np.empty(0), COST) == pytest.approx(1 / 6)


def test_where_never_is_cheapest_nothing_reaches_the_threshold() -> None:
    y, p = np.zeros(50), np.linspace(0, 1, 50)
    assert cheapest_threshold(y, p, COST) > 1
    assert cheapest_threshold(np.ones(50), p, COST) == 0


def test_cost_stands_beside_never_and_always() -> None:
    y, p = drawn()
    found = Scene("binary", y, p, cost=COST, threshold=0.3).evaluation
    assert found.cost
    cells = confusion(y, p, 0.3)
    assert found.cost.per_1000.value == pytest.approx(1000 * (5 * cells["fn"] + cells["fp"]) / len(y))
    assert found.cost.never.value == pytest.approx(5000 * y.mean())
    assert found.cost.always.value == pytest.approx(1000 * (1 - y.mean()))
    assert found.cost.weights_threshold == pytest.approx(1 / 6)
    assert found.cost.never.low < found.cost.never.value < found.cost.never.high
    assert Scene("binary", y, p).evaluation.cost is None


def trained() -> pd.DataFrame:
    """Red is late in 3 of 4, green in none of 9; blue was never seen."""
    return pd.DataFrame(
        {"team": ["red"] * 4 + ["green"] * 9, "size": np.linspace(0, 1, 13), "_label": [1.0, 1.0, 1.0, 0.0] + [0.0] * 9}
    )


def test_constant_and_rule_learn_from_the_training_rows_alone() -> None:
    y, p = drawn(300)
    scene = Scene("binary", y, p, trained=trained())
    constant, rule, _ = scene.evaluation.baselines
    base = 3 / 13
    assert constant.metrics["brier"].value == pytest.approx(((base - y) ** 2).mean())
    assert constant.metrics["roc_auc"].value == 0.5
    by_team = {"red": (3 + base) / 5, "green": base / 10, "blue": base}
    said = scene.rows["team"].map(by_team).to_numpy()
    assert rule.text == "the mean by team"
    assert rule.metrics["brier"].value == pytest.approx(((said - y) ** 2).mean())
    assert rule.threshold == pytest.approx(by_team["red"])  # of highest F1 on what it learned from
    expected = scene.evaluation.metrics["brier"].value - ((said - y) ** 2).mean()
    assert rule.difference["brier"].value == pytest.approx(expected)


def test_a_rule_of_two_columns_cuts_numbers_by_the_training_rows() -> None:
    y, p = drawn(300)
    learned = pd.DataFrame({"team": "red", "size": np.arange(100) / 100, "_label": (np.arange(100) >= 50) * 1.0})
    scene = Scene("binary", y, p, trained=learned, rule=("team", "size"))
    rule = scene.evaluation.baselines[1]
    assert rule.text == "the mean by team and size"
    red = scene.rows["team"] == "red"
    early = np.where(scene.rows["size"] < 0.495, 0.5 / 11, 10.5 / 11)
    said = np.where(red, early, 0.5)
    assert rule.metrics["brier"].value == pytest.approx(((said - y) ** 2).mean())


def test_baselines_of_a_regression() -> None:
    y = np.repeat([1.0, 2.0, 9.0], 100)
    scene = Scene("regression", y, y, trained=trained().assign(_label=np.arange(13.0) ** 2))
    mean, median, rule, _ = scene.evaluation.baselines
    assert mean.metrics["mae"].value == pytest.approx(np.abs(y - 50).mean())
    assert median.metrics["mae"].value == pytest.approx(np.abs(y - 36).mean())
    assert rule.metrics["mae"].value is not None
    assert mean.threshold is None


def test_baselines_of_classes() -> None:
    y = np.tile([0.0, 1.0, 2.0], 100)
    p = np.tile(np.eye(3), (100, 1)) * 0.7 + 0.1
    constant, _, _ = Scene("multiclass", y, p).evaluation.baselines
    assert constant.metrics["log_loss"].value == pytest.approx(np.log(3))


def test_levels_of_a_category_and_of_a_number() -> None:
    texts = levels_of(pd.Series(["b", None, "a", "b"]), categorical=True)
    assert texts.names == ("a", "b", "missing")
    assert texts.place.tolist() == [1, 2, 0, 1]
    spans = levels_of(pd.Series([1.0, 2.0, 2.5, np.nan, 9.0]), False, Cut(edges=(2, 3, 4)))
    assert spans.names == ("under 2", "2 to 3", "4 and over", "missing")
    assert spans.place.tolist() == [0, 1, 1, 3, 2]
    fifths = levels_of(pd.Series(np.arange(100.0)), False, Cut(bins=5))
    assert np.bincount(fifths.place).tolist() == [20] * 5
    assert levels_of(pd.Series([3.0] * 5), False, Cut()).names == ("any",)
    flag = levels_of(pd.Series([0.0] * 95 + [1.0] * 5), False)
    assert (flag.names, np.bincount(flag.place).tolist()) == (("under 1", "1 and over"), [95, 5])
    many = levels_of(pd.Series([f"{place:02d}" for place in range(60)] + ["59"]), categorical=True)
    assert (len(many.names), many.left_out, "59" in many.names) == (50, 10, True)


def test_every_segment_is_counted_and_few_rows_are_not_judged() -> None:
    y, p = drawn(600)
    team = np.where(np.arange(600) % 60 == 0, "rare", np.where(np.arange(600) % 2 == 0, "even", "odd")).astype("object")
    found = Scene("binary", y, p, columns={"team": team}, segments={"team": Cut()}, least_rows=20).evaluation.segments
    rows = {one.levels["team"]: one for one in found.columns["team"]}
    assert {name: one.rows for name, one in rows.items()} == {"even": 290, "odd": 300, "rare": 10}
    assert (rows["rare"].metrics, rows["rare"].days) == ({}, 10)
    odd = team == "odd"
    assert rows["odd"].metrics["rate"].value == pytest.approx(y[odd].mean())
    assert rows["odd"].metrics["bias"].value == pytest.approx(p[odd].mean() - y[odd].mean())
    assert rows["odd"].metrics["roc_auc"].low < rows["odd"].metrics["roc_auc"].value
    assert rows["odd"].share == 0.5


def test_the_worst_pair_is_the_one_that_was_planted() -> None:
    y, p = drawn(2400)
    probe = Scene("binary", y, p)
    planted = ((probe.rows["team"] == "red") & (probe.rows["size"] < 0.5)).to_numpy()
    random = np.random.default_rng(1)
    p = np.where(planted, random.random(2400) * 0.2, p)  # knows nothing there, and says too little
    found = Scene("binary", y, p, segments={"team": Cut(), "size": Cut(edges=(0.5,))}).evaluation.segments
    assert found.pairs == 6
    assert found.worst_pairs[0].name == "team=red, size=under 0.5"
    assert found.most_biased_pairs[0].levels == {"team": "red", "size": "under 0.5"}
    assert found.most_biased_pairs[0].metrics["bias"].high < 0
    assert found.by == "roc_auc"


def test_by_default_the_categories_of_few_levels_are_looked_at() -> None:
    y, p = drawn(300)
    assert set(Scene("binary", y, p, segments=None).evaluation.segments.columns) == {"team"}
    many = np.array([f"{place % 40}" for place in range(300)], dtype="object")
    assert Scene("binary", y, p, segments=None, columns={"team": many}).evaluation.segments.columns == {}


def hand() -> Scene:
    """Of 10 red rows 5 are positive, 4 of them found, 1 of the others named; of 10 blue rows 2, 1 found, 4 named."""
    red = [(1, 1)] * 4 + [(1, 0)] + [(0, 1)] + [(0, 0)] * 4
    blue = [(1, 1), (1, 0)] + [(0, 1)] * 4 + [(0, 0)] * 4
    y, said = np.array([*red, *blue], dtype="float64").T
    team = np.array(["red"] * 10 + ["blue"] * 10, dtype="object")
    size = np.arange(20) / 20
    return Scene("binary", y, said, columns={"team": team, "size": size}, sensitive=("team",), least_rows=5, days=10)


def test_fairness_by_hand_and_as_fairlearn_says() -> None:
    scene = hand()
    (found,) = scene.evaluation.fairness
    groups = {one.levels["team"]: {name: figure.value for name, figure in one.metrics.items()} for one in found.groups}
    assert (groups["red"]["selection_rate"], groups["blue"]["selection_rate"]) == (0.5, 0.5)
    assert (groups["red"]["recall"], groups["blue"]["recall"]) == (0.8, 0.5)
    assert (groups["red"]["false_positive_rate"], groups["blue"]["false_positive_rate"]) == (0.2, 0.5)
    assert found.difference["selection_rate"].value == 0
    assert found.difference["recall"].value == pytest.approx(0.3)
    assert found.ratio["recall"].value == pytest.approx(0.5 / 0.8)
    y, said = scene.judged.y, scene.judged.p >= 0.5
    groups_of = {"sensitive_features": scene.rows["team"]}
    parity = fairlearn.demographic_parity_difference(y, said, **groups_of)
    assert found.difference["selection_rate"].value == pytest.approx(parity)
    odds = fairlearn.equalized_odds_difference(y, said, **groups_of)
    assert found.difference["equalized_odds"].value == pytest.approx(odds)
    assert found.ratio["selection_rate"].value == pytest.approx(
        fairlearn.demographic_parity_ratio(y, said, **groups_of)
    )


def test_a_difference_has_an_interval_of_the_two_groups_farthest_apart() -> None:
    y, p = drawn(3000)
    team = Scene("binary", y, p).rows["team"].to_numpy()
    p = np.where(team == "red", p * 0.5, p)
    (found,) = Scene("binary", y, p, sensitive=("team",)).evaluation.fairness
    apart = found.difference["selection_rate"]
    assert apart.low > 0.3
    assert apart.low < apart.value < apart.high < 0.7
    same = drawn(3000)
    (alike,) = Scene("binary", *same, sensitive=("team",)).evaluation.fairness
    assert alike.difference["selection_rate"].value < 0.06


def test_groups_that_are_treated_alike_are_seldom_called_different() -> None:
    """The two of eight that are farthest apart are so by chance."""
    wrong = []
    for seed in range(30):
        y, p = drawn(3000, seed)
        group = np.array([f"group {number}" for number in np.random.default_rng(seed).integers(0, 8, 3000)])
        scene = Scene("binary", y, p, columns={"group": group.astype("object")}, resamples=1000)
        judged = replace(scene.judged, categorical=("group",))
        apart = fairness_of(judged, scene.days, scene.options, "group").difference["selection_rate"]
        wrong.append(apart.low > 0)
    assert np.mean(wrong) < 0.3  # 0.1 is meant; of the pair alone it would be more than half


def test_small_groups_are_counted_and_not_compared() -> None:
    y, p = drawn(600)
    team = np.where(np.arange(600) % 100 == 0, "few", "many").astype("object")
    (found,) = Scene("binary", y, p, columns={"team": team}, sensitive=("team",)).evaluation.fairness
    assert {one.levels["team"]: one.rows for one in found.groups} == {"few": 6, "many": 594}
    assert (found.difference, found.ratio) == ({}, {})


def test_a_group_that_does_not_define_a_metric_leaves_it_undefined() -> None:
    y, p = drawn(600)
    team = Scene("binary", y, p).rows["team"].to_numpy()
    y[team == "red"] = 0.0  # nobody there to find
    (found,) = Scene("binary", y, p, sensitive=("team",)).evaluation.fairness
    assert found.difference["recall"].value is None
    assert found.ratio["recall"].value is None
    assert found.difference["equalized_odds"].value is None
    assert found.difference["selection_rate"].value is not None


def test_fairness_of_a_regression_and_of_classes() -> None:
    y, p = drawn(600)
    team = Scene("binary", y, p).rows["team"].to_numpy()
    value = np.where(team == "red", 3.0, 1.0)
    (found,) = Scene("regression", value, np.ones(600), sensitive=("team",)).evaluation.fairness
    assert found.difference["mae"].value == 2
    assert found.difference["bias"].value == 2
    assert set(found.ratio) == {"mae"}
    (classes,) = Scene("multiclass", y, np.column_stack([1 - p, p]), sensitive=("team",)).evaluation.fairness
    assert set(classes.difference) == {"accuracy", "macro_f1", "macro_recall"}
    assert classes.difference["accuracy"].value > 0


def test_importance_finds_the_feature_that_is_used() -> None:
    y, p = drawn()
    found = Scene("binary", y, p, importance_rows=500, importance_repeats=5).evaluation
    assert found.importance_rows == 500
    first, second = found.importance
    assert (first.feature, second.feature) == ("size", "team")
    assert first.drop > 0.5
    assert 0 < first.spread < first.drop
    assert (second.drop, second.spread) == (0, 0)
    without = Scene("binary", y, p, importance_rows=0).evaluation
    assert (without.importance_rows, without.importance) == (0, ())
