"""Probabilities are calibrated on the last rows, of which nothing else has learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from evergreen.errors import EvergreenError, ParamsError
from evergreen.params.load import load_params_text
from evergreen.params.preprocess import Preprocess
from evergreen.params.training import Calibration
from evergreen.training.artifacts import dump_model, predict
from evergreen.training.estimators import CATALOG
from evergreen.training.pipeline import Recipe, fit
from tests.conftest import SMALL

METHODS: tuple[Any, ...] = ("isotonic", "sigmoid")


def rows(count: int = 3000, seed: int = 0) -> tuple[pd.DataFrame, Any]:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"size": random.normal(size=count), "noise": random.normal(size=count)})
    return frame, (random.random(count) < 1 / (1 + np.exp(-frame["size"].to_numpy()))).astype("float64")


def recipe(name: str, method: Any = None, **more: Any) -> Recipe:
    calibration = Calibration(method=method, share=0.3) if method else None
    preprocess = CATALOG[name].suited(Preprocess())
    return Recipe(name, {}, preprocess, ("size", "noise"), (), 0, calibration=calibration, **more)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [name for name, entry in CATALOG.items() if "binary" in entry.kinds])
def test_weighted_probabilities_agree_with_the_labels_again(name: str, method: Any) -> None:
    frame, y = rows()
    test, truth = rows(seed=1)
    weights = {0.0: 1.0, 1.0: 9.0}
    plain = predict(fit(recipe(name, weights=weights), frame, y), test)
    model = fit(recipe(name, method, weights=weights), frame, y)
    p = predict(model, test)
    assert abs(p.mean() - truth.mean()) < 0.05 < plain.mean() - truth.mean()
    assert dump_model(fit(recipe(name, method, weights=weights), frame, y)) == dump_model(model)


@pytest.mark.parametrize("method", METHODS)
def test_three_classes_are_calibrated(method: Any) -> None:
    frame, _ = rows()
    y = np.digitize(frame["size"] + np.random.default_rng(3).normal(size=3000), [-0.5, 0.5]).astype("float64")
    p = predict(fit(recipe("logistic", method, kind="multiclass", n_classes=3), frame, y), frame)
    assert p.shape == (3000, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_the_estimator_and_its_preprocessing_have_not_seen_the_slice() -> None:
    frame, y = rows()
    changed, other = frame.copy(), y.copy()
    changed.iloc[2100:] *= 100
    other[2100:] = 1 - other[2100:]
    before, after = (fit(recipe("logistic", "sigmoid"), *given) for given in ((frame, y), (changed, other)))
    frozen = [model.named_steps["estimator"].estimator.estimator for model in (before, after)]
    assert dump_model(before.named_steps["preprocess"]) == dump_model(after.named_steps["preprocess"])
    assert dump_model(frozen[0]) == dump_model(frozen[1])
    alone = fit(recipe("logistic"), frame.iloc[:2100], y[:2100])
    np.testing.assert_array_equal(frozen[0].coef_, alone.named_steps["estimator"].coef_)


def test_a_slice_without_a_label_says_what_to_do() -> None:
    frame, y = rows()
    y[2100:] = 0
    with pytest.raises(
        EvergreenError, match=r"keeps the last 900 training rows, of which 0 have the label 1; it needs 2"
    ):
        fit(recipe("logistic", "sigmoid"), frame, y)


def test_params_take_a_word_or_a_section() -> None:
    def given(text: str) -> Calibration | None:
        return Recipe.candidate(
            load_params_text(SMALL.replace("min_labels: 50", f"min_labels: 50, {text}"))
        ).calibration

    assert given("calibration: isotonic") == Calibration(method="isotonic", share=0.2)
    assert given("calibration: {method: sigmoid, share: 0.1}") == Calibration(method="sigmoid", share=0.1)
    assert given("calibration: null") is None
    with pytest.raises(ParamsError, match=r"`training\.calibration` is 'isotonik': did you mean `isotonic`"):
        given("calibration: isotonik")
    with pytest.raises(ParamsError, match=r"training\.class_weight: `late` is no label; Known: false, 0, true, 1"):
        given("class_weight: {late: 3}")
    weighted = SMALL.replace("min_labels: 50", "min_labels: 50, class_weight: {true: 3}")
    assert Recipe.candidate(load_params_text(weighted)).weights == {0.0: 1.0, 1.0: 3.0}
