from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evergreen.errors import EvergreenError, ParamsError
from evergreen.params.load import load_params_text
from evergreen.params.preprocess import Categorical, Preprocess, Rare
from evergreen.training.artifacts import predict
from evergreen.training.frame import inputs
from evergreen.training.pipeline import Recipe, fit
from tests.conftest import SMALL


def wide(levels: int, rows: int = 1200) -> pd.DataFrame:
    return pd.DataFrame(
        {"team": [f"team {row % levels}" for row in range(rows)], "size": np.arange(rows, dtype="float64")}
    )


def recipe(estimator: str = "hist_gradient_boosting", **preprocess: Any) -> Recipe:
    return Recipe(estimator, {"max_iter": 5}, Preprocess(**preprocess), ("team", "size"), ("team",), seed=0)


def test_recipes_come_from_params() -> None:
    params = load_params_text(SMALL)
    candidate, baseline = Recipe.candidate(params), Recipe.baseline(params)
    assert candidate.names == ("team", "size", "hour", "team_late_3d")
    assert candidate.categorical == ("team",)
    assert candidate.options == {"early_stopping": False, "max_iter": 20}
    assert baseline is not None
    assert (baseline.estimator, baseline.options, baseline.preprocess.numeric.impute) == ("logistic", {}, "median")
    assert Recipe.baseline(load_params_text(SMALL.replace("min_labels: 50", "min_labels: 50, baseline: null"))) is None
    with pytest.raises(ParamsError, match="no option `max_itre`"):
        Recipe.candidate(load_params_text(SMALL.replace("max_iter", "max_itre")))


def test_more_levels_than_the_estimator_takes_name_the_column() -> None:
    labels = np.arange(1200) % 2.0
    fit(recipe(), wide(255), labels)
    with pytest.raises(EvergreenError, match=r"category `team` has 256 levels .* at most 255"):
        fit(recipe(), wide(256), labels)
    fit(recipe(categorical=Categorical(encode="ordinal")), wide(256), labels)


def test_levels_are_learned_from_the_training_rows_alone() -> None:
    rows = wide(5)
    model = fit(recipe(), rows.iloc[:3], np.array([0.0, 1.0, 0.0]))
    encoder = model.named_steps["preprocess"].named_transformers_["categorical"]
    assert encoder.categories_[0].tolist() == ["team 0", "team 1", "team 2"]


def test_features_without_any_value_are_an_error() -> None:
    rows = wide(3).assign(size=np.nan, team=pd.Series([None] * 1200, dtype="str"))
    with pytest.raises(EvergreenError, match="every feature is empty"):
        fit(recipe(), rows, np.arange(1200) % 2.0)


def test_rows_that_lack_a_needed_feature_are_left_out_of_training_alone() -> None:
    rows = wide(3)
    rows.loc[::2, "size"] = np.nan
    labels = np.arange(1200) // 3 % 2.0
    dropping = recipe(drop_rows=("size",))
    model = fit(dropping, rows, labels)
    whole = fit(recipe(), rows.iloc[1::2], labels[1::2])
    np.testing.assert_array_equal(predict(model, rows), predict(whole, rows))
    with pytest.raises(EvergreenError, match=r"leaves none of 1200 rows .* lacks one of size"):
        fit(dropping, rows.assign(size=np.nan), labels)


def test_rare_levels_make_room_for_an_estimator_that_takes_few() -> None:
    rows, labels = wide(300), np.arange(1200) % 2.0
    rows.loc[:600, "team"] = "team 0"
    model = fit(recipe(categorical=Categorical(rare=Rare(count=4), unknown="rare")), rows, labels)
    odd = rows.iloc[:2].assign(team=["never seen", "team 299"], size=0.0)
    assert len(set(predict(model, odd))) == 1


def test_an_unseen_level_that_becomes_a_rare_one_is_of_the_rare_group() -> None:
    rows, labels = wide(300), np.arange(1200) % 2.0
    rows.loc[:600, "team"] = "team 0"
    settings = Categorical(rare=Rare(count=4), unknown="level", level="team 299", encode="one_hot")
    model = fit(recipe(categorical=settings), rows, labels)
    odd = rows.iloc[:2].assign(team=["never seen", "team 299"], size=0.0)
    made = model[:-1].transform(inputs(odd, ("size", "team"), ("team",)))
    np.testing.assert_array_equal(made[0], made[1])
    assert made[0, 1:].sum() == 1


def test_an_order_that_names_no_level_says_which_there_are() -> None:
    ordered = recipe(categorical=Categorical(encode="ordinal", order=("low", "top")))
    with pytest.raises(EvergreenError, match=r"order of `team` names none of its 3 categories, such as `team 0`"):
        fit(ordered, wide(3), np.arange(1200) % 2.0)


def test_target_encoding_needs_each_label_twice() -> None:
    encoded = recipe(categorical=Categorical(encode="target"))
    with pytest.raises(EvergreenError, match=r"needs each label twice; there is one row of the label 1"):
        fit(encoded, wide(3, 9), np.arange(9) // 8 * 1.0)


def test_a_training_row_is_encoded_by_other_rows_labels() -> None:
    """Each team has one row, whose own label would tell all."""
    encoded = replace(recipe(categorical=Categorical(encode="target")), names=("team",))
    rows, labels = wide(1200)[["team"]], np.arange(1200) % 2.0
    assert predict(fit(encoded, rows, labels), rows).std() < 0.1


def test_a_number_has_a_baseline_of_its_own() -> None:
    text = SMALL.replace("value: late > 10}", "value: late, kind: regression}").replace("floor: {roc_auc: 0.5}, ", "")
    baseline = Recipe.baseline(load_params_text(text))
    assert baseline is not None
    assert (baseline.estimator, baseline.kind, baseline.preprocess.numeric.scale) == ("ridge", "regression", "standard")
    with pytest.raises(ParamsError, match=r"`logistic` is for binary and multiclass, .* there are .*ridge"):
        Recipe.baseline(load_params_text(text.replace("min_labels: 50", "min_labels: 50, baseline: logistic")))
