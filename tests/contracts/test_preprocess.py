"""What every option of `preprocess` must keep to. A new one is tested here by itself: the models make the list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import skops.io

from evergreen.params.preprocess import (
    OPERATIONS,
    Categorical,
    EqualBins,
    GivenBins,
    Interaction,
    IqrOutliers,
    Numeric,
    Part,
    Preprocess,
    QuantileOutliers,
    Rare,
)
from evergreen.params.training import Calibration
from evergreen.training.artifacts import dump_model, predict, used_features
from evergreen.training.estimators import STEPS_TRUSTED, find, skops_trusted
from evergreen.training.frame import inputs
from evergreen.training.pipeline import Recipe, fit

NAMES = ("amount", "size $", "constant", "empty", "moment", "team", "city", "void")
CATEGORICAL = ("team", "city", "void")
KINDS: tuple[Any, ...] = ("binary", "multiclass", "regression")

# Keys that are no option by themselves, and what goes with each value that needs another key.
COMPANIONS = {"fill", "level"}
NEEDS: dict[tuple[str, str], dict[str, Any]] = {
    ("numeric", "impute: constant"): {"fill": -7.0},
    ("categorical", "impute: constant"): {"fill": "none"},
    ("categorical", "unknown: rare"): {"rare": {"share": 0.1}},
    ("categorical", "unknown: level"): {"level": "a"},
}
# Values of the keys that are neither a list of words nor true or false.
VALUES: dict[str, list[Any]] = {
    "outliers": [{"kind": "quantile", "then": then, "low": 0.1} for then in ("clip", "mark")]
    + [{"kind": "iqr", "then": then, "factor": 0.5} for then in ("clip", "mark")],
    "bin": [
        {"kind": kind, "bins": 3, "encode": encode}
        for kind in ("uniform", "quantile")
        for encode in ("ordinal", "one_hot")
    ]
    + [{"kind": "edges", "edges": [-1, 0.5], "encode": encode} for encode in ("ordinal", "one_hot")],
    "rare": [{"share": 0.2}, {"count": 40}],
    "order": [["c", "a", "b"]],
}
TRIED = {QuantileOutliers: {"low", "high", "then"}, IqrOutliers: {"factor", "then"}, Rare: {"share", "count"},
         EqualBins: {"bins", "encode"}, GivenBins: {"edges", "encode"}}  # fmt: skip


def group_options(name: str, model: type[Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for key, field in model.model_fields.items():
        words = [word for word in get_args(field.annotation) if isinstance(word, str)]
        values = VALUES.get(key) or words or ([True, False] if field.annotation is bool else [])
        assert values or key in COMPANIONS, f"add values of preprocess.{name}.{key} to this suite"
        for value in values:
            more = NEEDS.get((name, f"{key}: {value}"), {}) | ({"encode": "ordinal"} if key == "order" else {})
            preprocess = {name: {key: value, **more}}
            if key == "order":  # which is one column's
                preprocess = {"columns": {"team": preprocess[name]}}
            found.append((f"{name}.{key}: {value}", preprocess))
    return found


def options() -> list[tuple[str, dict[str, Any]]]:
    """(name, preprocess) of every option, and of some together."""
    pairs = {name: ["amount", "size $"] for name in OPERATIONS} | {"cross": ["team", "city"]}
    parts = list(get_args(Part))
    found = [("nothing", {}), *group_options("numeric", Numeric), *group_options("categorical", Categorical)]
    found += [(f"interactions: {name}", {"interactions": {"both": {name: pair}}}) for name, pair in pairs.items()]
    found += [("cyclical", {"cyclical": {"amount": 3.5}}), ("drop_rows", {"drop_rows": ["amount", "team"]})]
    found += [(f"calendar: {part}", {"calendar": {"moment": {"parts": [part]}}}) for part in parts]
    found += [
        (f"calendar: {part} in a circle", {"calendar": {"moment": {"parts": [part], "cyclical": True}}})
        for part in parts
    ]
    columns = {
        "amount": {"impute": "mean", "scale": "log", "indicator": True},
        "both": {"encode": "target"},
        "constant": {"bin": {"kind": "uniform"}},
    }
    cross = {"interactions": {"both": {"cross": ["team", "city"]}}}
    group = {"rare": {"count": 50}, "unknown": "rare", "impute": "mode", "encode": "one_hot"}
    together = {"numeric": {"impute": "median", "scale": "robust"}, "categorical": group, "columns": columns, **cross}
    return [*found, ("columns", {"columns": columns, **cross}), ("together", together)]


OPTIONS = dict(options())
every_option = pytest.mark.parametrize("option", OPTIONS)


def rows(count: int = 300, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": random.normal(size=count) * 3,
            "size $": random.lognormal(size=count).round(2),
            "constant": 1.0,
            "empty": np.nan,
            "moment": random.uniform(0, 2e9, count),
            "team": random.choice(["a", "b", "c"], count, p=[0.6, 0.3, 0.1]),
            "city": random.choice(["x", "y", "z"], count),
            "void": None,
        }
    )
    for column, step in (("amount", 7), ("moment", 13), ("team", 11), ("city", 17)):
        frame.loc[::step, column] = None
    return frame


def odd() -> pd.DataFrame:
    """Rows that look like no training row."""
    frame = rows(6, seed=9)
    frame["team"] = ["unseen", None, "a", np.nan, "c", "unseen"]
    frame["city"] = ["x", "unseen", None, "z", "unseen", "x"]
    frame["amount"] = [np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0]
    frame["size $"] = [0.0, -5.0, 1e-300, 1e300, np.nan, 0.0]
    frame["moment"] = [np.nan, 1e300, -1e12, 0.0, 1.7e9, np.inf]
    frame["empty"] = 3.0
    frame["void"] = "now here"
    return frame


def recipe(option: str, kind: Any = "binary", estimator: str = "hist_gradient_boosting") -> Recipe:
    preprocess = find(estimator).suited(Preprocess.model_validate(OPTIONS[option]))
    quick = {"max_iter": 3} if estimator == "hist_gradient_boosting" else {}
    return Recipe(
        estimator, quick, preprocess, NAMES, CATEGORICAL, 0, kind, 3, times=("moment",), time_zone="Europe/Berlin"
    )  # fmt: skip


def fitted(option: str, kind: Any = "binary", estimator: str = "hist_gradient_boosting", **more: Any) -> Any:
    frame = inputs(rows(), NAMES, CATEGORICAL)
    signal = frame["size $"].to_numpy() + (frame["team"] == "a")
    y = {"binary": signal > 2, "multiclass": np.digitize(signal, [1.0, 2.0]), "regression": signal}[kind]
    return fit(replace(recipe(option, kind, estimator), **more), frame, y.astype("float64"))


def transformed(model: Any, frame: pd.DataFrame) -> Any:
    numeric, categorical = used_features(model)
    return model[:-1].transform(inputs(frame, [*numeric, *categorical], categorical))


@every_option
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_is_transformed_as_in_its_batch(option: str, kind: Any) -> None:
    if kind != "binary" and "target" not in str(OPTIONS[option]):
        return  # labels matter to target encoding only
    model = fitted(option, kind)
    batch = pd.concat([rows(60, seed=1), odd()], ignore_index=True)
    together = transformed(model, batch)
    alone = np.concatenate([transformed(model, batch.iloc[[place]]) for place in range(len(batch))])
    np.testing.assert_array_equal(alone, together)
    assert together.dtype == np.float64
    assert not np.isinf(together).any()


@every_option
def test_a_refit_has_the_same_bytes(option: str) -> None:
    assert dump_model(fitted(option)) == dump_model(fitted(option))


@every_option
@pytest.mark.parametrize("estimator", ["hist_gradient_boosting", "logistic"])
def test_nulls_and_unseen_levels_are_predicted(option: str, estimator: str) -> None:
    p = predict(fitted(option, estimator=estimator), odd())
    assert ((p >= 0) & (p <= 1)).all()


@every_option
def test_skops_loads_it_again(option: str) -> None:
    model = fitted(option)
    loaded = skops.io.loads(skops.io.dumps(model), trusted=skops_trusted("hist_gradient_boosting"))
    np.testing.assert_array_equal(transformed(loaded, odd()), transformed(model, odd()))


def test_exactly_the_types_that_are_used_are_trusted() -> None:
    needed: set[str] = set()
    for option in OPTIONS:
        needed |= set(skops.io.get_untrusted_types(data=skops.io.dumps(fitted(option))))
    for method in ("isotonic", "sigmoid"):
        model = fitted("nothing", calibration=Calibration(method=method))
        needed |= set(skops.io.get_untrusted_types(data=skops.io.dumps(model)))
    assert needed == set(skops_trusted("hist_gradient_boosting"))
    assert set(STEPS_TRUSTED) < needed


@every_option
def test_a_few_rows_can_be_fitted(option: str) -> None:
    """Four rows, as after a hard drop: the preprocessing copes, or the error is ours."""
    frame = inputs(rows(), NAMES, CATEGORICAL).iloc[1:5]
    model = fit(recipe(option), frame, np.array([0.0, 1.0, 0.0, 1.0]))
    assert np.isfinite(predict(model, odd())).all()


def test_every_key_of_the_kinds_is_tried() -> None:
    for model, keys in TRIED.items():
        assert set(model.model_fields) - {"kind"} == keys, "add the new key to VALUES"
    assert set(Interaction.model_fields) == set(OPERATIONS)
    tried = {key.split(".")[0].split(":")[0] for key in OPTIONS}
    assert tried >= set(Preprocess.model_fields)
