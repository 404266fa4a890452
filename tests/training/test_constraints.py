"""Monotonic constraints find their columns behind any preprocessing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evergreen.errors import ParamsError
from evergreen.params.load import load_params_text
from evergreen.params.preprocess import Preprocess
from evergreen.training.artifacts import predict
from evergreen.training.estimators import CATALOG
from evergreen.training.frame import inputs
from evergreen.training.pipeline import Recipe, fit
from tests.conftest import SMALL

NAMES = ("empty", "team", "grade", "size", "age")
ABLE = [name for name, entry in CATALOG.items() if entry.monotonic]
PREPROCESS: list[dict[str, Any]] = [
    {},
    {"numeric": {"impute": "median", "indicator": True, "scale": "yeo_johnson"}, "categorical": {"encode": "one_hot"}},
    {
        "interactions": {"both": {"product": ["size", "age"]}},
        "columns": {"age": {"bin": {"kind": "uniform", "encode": "one_hot"}}},
    },
    {"columns": {"grade": {"encode": "ordinal", "order": ["low", "mid", "top"]}}, "categorical": {"encode": "target"}},
]  # fmt: skip


def rows(count: int = 600) -> pd.DataFrame:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"size": random.normal(size=count), "age": random.normal(size=count), "empty": np.nan})
    frame["team"] = random.choice(["a", "b"], count)
    frame["grade"] = random.choice(["low", "mid", "top"], count)
    frame.loc[::9, "age"] = np.nan
    return inputs(frame, NAMES, ("team", "grade"))


@pytest.mark.parametrize("name", ABLE)
@pytest.mark.parametrize("preprocess", PREPROCESS)
def test_predictions_never_fall_where_they_may_only_rise(name: str, preprocess: dict[str, Any]) -> None:
    """The labels fall as size grows, so that only the constraint keeps the predictions from doing so."""
    frame = rows()
    signal = -frame["size"] + np.random.default_rng(2).normal(size=600)
    given = CATALOG[name].suited(Preprocess.model_validate({"numeric": {"impute": "median"}} | preprocess))
    recipe = Recipe(name, {}, given, NAMES, ("team", "grade"), 0)
    constrained = replace(
        recipe, monotonic={"size": "increasing"} | ({"grade": "decreasing"} if "grade" in str(preprocess) else {})
    )
    walk = frame.iloc[[5]].loc[[frame.index[5]] * 50].assign(size=np.linspace(-3, 3, 50))
    y = (signal > 0).to_numpy(dtype="float64")
    free, held = (predict(fit(one, frame, y), walk) for one in (recipe, constrained))
    assert np.diff(free).min() < 0
    if "both" not in str(preprocess):  # the product moves with size too, and is not constrained
        assert np.diff(held).min() >= 0
    assert not np.array_equal(free, held)
    if "grade" in str(preprocess):
        grades = walk.iloc[:3].assign(size=0.0, grade=["low", "mid", "top"])
        assert np.diff(predict(fit(constrained, frame, y), grades)).max() <= 0


@pytest.mark.parametrize(
    ("monotonic", "more", "message"),
    [
        ("{sise: increasing}", "", r"training\.monotonic: `sise` is no feature; did you mean `size`\?"),
        ("{team: increasing}", "", r"`team` is a category without an order; give it one"),
        (
            "{size: increasing}",
            "{numeric: {bin: {kind: uniform, encode: one_hot}}}",
            r"`size` is cut into a column a bin",
        ),
        (
            "{size: increasing}",
            "{interactions: {square: {product: [size, size]}}}",
            r"`square` is made of `size` and moves with it, which no constraint holds",
        ),
        ("{size: increasing}", "{cyclical: {size: 7}}", r"`size_sin` is made of `size`"),
        (
            "{size: increasing}",
            "{numeric: {outliers: {kind: iqr, then: mark}}}",
            r"the mark of outliers moves with `size`, .* set preprocess\.columns\.size\.outliers\.then to `clip`",
        ),
        ("{size: upwards}", "", r"`training\.monotonic\.size` is 'upwards': .*increasing"),
    ],
)
def test_a_constraint_that_cannot_be_says_why(monotonic: str, more: str, message: str) -> None:
    text = SMALL.replace("min_labels: 50", f"min_labels: 50, monotonic: {monotonic}")
    text = text.replace("preprocess: {}", f"preprocess: {more or '{}'}")
    with pytest.raises(ParamsError, match=message):
        Recipe.candidate(load_params_text(text))


def test_an_estimator_without_constraints_names_those_with() -> None:
    text = SMALL.replace("min_labels: 50", "min_labels: 50, monotonic: {size: increasing}")
    text = text.replace("hist_gradient_boosting, options: {early_stopping: false, max_iter: 20}", "logistic")
    with pytest.raises(
        ParamsError, match=r"logistic knows no such constraints; these do: hist_gradient_boosting, lightgbm"
    ):
        Recipe.candidate(load_params_text(text))
