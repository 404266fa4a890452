"""What every estimator of the catalog must keep to. A new entry is tested here without a new line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import skops.io

from evergreen.errors import EvergreenError, ParamsError
from evergreen.params.prediction import Kind
from evergreen.params.preprocess import Categorical, Numeric, Preprocess
from evergreen.params.training import EstimatorName
from evergreen.training.artifacts import dump_model, predict
from evergreen.training.estimators import CATALOG, find, skops_trusted
from evergreen.training.frame import inputs
from evergreen.training.pipeline import Recipe, fit

NAMES = ("amount $", "constant", "empty", "Größe", "team", "void")
CATEGORICAL = ("team", "void")
QUICK: dict[str, dict[str, Any]] = {
    "hist_gradient_boosting": {"max_iter": 10}, "lightgbm": {"n_estimators": 10}, "random_forest": {"n_estimators": 10}
}  # fmt: skip
# An option that each has, a value of it that none takes, and what a slip of the pen makes of its name.
OPTION = {
    "hist_gradient_boosting": ("max_iter", -3), "lightgbm": ("learning_rate", -1.0),
    "random_forest": ("max_features", -3),
    "decision_tree": ("max_depth", -3), "logistic": ("max_iter", -3), "ridge": ("alpha", -3.0),
}  # fmt: skip
ENCODINGS: tuple[Any, ...] = ("native", "one_hot", "ordinal")
IMPUTATIONS: tuple[Any, ...] = ("none", "median")

CASES = [(name, kind) for name, entry in CATALOG.items() for kind in entry.kinds]
CLASSIFIERS = [(name, kind) for name, kind in CASES if kind != "regression"]
every_case = pytest.mark.parametrize(("name", "kind"), CASES)
every_classifier = pytest.mark.parametrize(("name", "kind"), CLASSIFIERS)
every_name = pytest.mark.parametrize("name", CATALOG)


def recipe(name: str, kind: Kind, preprocess: Preprocess | None = None, **more: Any) -> Recipe:
    preprocess = find(name).suited(preprocess or Preprocess())
    classes = 4 if kind == "multiclass" else 2  # of which the rows have three
    return Recipe(name, QUICK.get(name, {}), preprocess, NAMES, CATEGORICAL, 0, kind, classes, **more)


def rows(count: int = 400, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount $": random.normal(size=count),
            "constant": 1.0,
            "empty": np.nan,
            "Größe": random.normal(size=count),
            "team": random.choice(["a", "b", "c"], count),
            "void": None,
        }
    )
    frame.loc[::7, "amount $"] = np.nan
    frame.loc[::11, "team"] = None
    return frame


def fitted(name: str, kind: Kind, preprocess: Preprocess | None = None, **more: Any) -> Any:
    frame = inputs(rows(), NAMES, CATEGORICAL)
    return fit(recipe(name, kind, preprocess, **more), frame, labels(frame, kind))


def labels(frame: pd.DataFrame, kind: Kind) -> Any:
    signal = (frame["Größe"] + np.where(frame["team"] == "a", 1.5, 0)).to_numpy(dtype="float64")
    return {
        "binary": (signal > 0.5) * 1.0, "multiclass": np.digitize(signal, [-0.5, 1.0]) * 1.0, "regression": signal
    }[kind]  # fmt: skip


def valid(p: Any, kind: Kind) -> bool:
    """Whether predictions are of the form that their kind promises."""
    shape = p.ndim == (2 if kind == "multiclass" else 1) and (p.ndim == 1 or p.shape[1] == 4)
    certain = kind == "regression" or bool(((p >= 0) & (p <= 1)).all())
    sums = p.ndim == 1 or bool(np.allclose(p.sum(axis=1), 1))
    return shape and certain and sums and p.dtype == np.float64 and bool(np.isfinite(p).all())


def test_params_know_the_catalog() -> None:
    assert set(get_args(EstimatorName)) == set(CATALOG)
    assert {kind for entry in CATALOG.values() for kind in entry.kinds} == set(get_args(Kind))


@every_case
def test_predictions_follow_the_signal(name: str, kind: Kind) -> None:
    p, y = predict(fitted(name, kind), rows(seed=1)), labels(rows(seed=1), kind)
    assert valid(p, kind)
    if kind == "binary":
        assert p[y == 1].mean() > p[y == 0].mean() + 0.3
    elif kind == "multiclass":
        assert (p.argmax(axis=1) == y).mean() > 0.7
        assert (p[:, 3] == 0).all()  # no row had this class
    else:
        assert np.corrcoef(p, y)[0, 1] > 0.8


@every_case
def test_nulls_infinities_and_unseen_levels_are_predicted(name: str, kind: Kind) -> None:
    odd = rows(4, seed=2)
    odd["team"] = ["unseen", None, "a", np.nan]
    odd["amount $"] = [np.nan, np.inf, -np.inf, 1e300]
    odd["empty"] = 3.0
    odd["void"] = "now here"
    for encode, impute in product(ENCODINGS, IMPUTATIONS) if kind == find(name).kinds[0] else [("native", "none")]:
        preprocess = Preprocess(numeric=Numeric(impute=impute), categorical=Categorical(encode=encode))
        assert valid(predict(fitted(name, kind, preprocess), odd), kind)


@every_name
@pytest.mark.parametrize("encode", ["native", "ordinal"])
def test_an_unseen_level_counts_as_missing(name: str, encode: Any) -> None:
    model = fitted(name, find(name).kinds[0], Preprocess(categorical=Categorical(encode=encode)))
    unseen, missing = rows(50, seed=3), rows(50, seed=3)
    unseen["team"], missing["team"] = "unseen", None
    if model.named_steps["preprocess"].named_transformers_["categorical"].__class__.__name__ == "OneHotEncoder":
        assert np.isfinite(predict(model, unseen)).all()  # no column is set, while a known null has one of its own
    else:
        np.testing.assert_array_equal(predict(model, unseen), predict(model, missing))


@every_case
def test_a_row_alone_is_predicted_as_in_its_batch(name: str, kind: Kind) -> None:
    model, batch = fitted(name, kind), rows(40, seed=4)
    together = predict(model, batch)
    alone = np.concatenate([predict(model, batch.iloc[[place]]) for place in range(len(batch))])
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    assert predict(model, batch.iloc[:0]).shape == (0, *together.shape[1:])


@every_case
def test_types_and_further_columns_do_not_matter(name: str, kind: Kind) -> None:
    model, batch = fitted(name, kind), rows(40, seed=5)
    other = batch.astype({"team": "category", "Größe": "Float64"})[list(reversed(NAMES))].assign(_key="x")
    np.testing.assert_array_equal(predict(model, other), predict(model, batch))


@every_case
def test_a_refit_has_the_same_bytes(name: str, kind: Kind) -> None:
    assert dump_model(fitted(name, kind)) == dump_model(fitted(name, kind))


@every_name
def test_skops_needs_exactly_the_trust_that_the_catalog_lists(name: str) -> None:
    needed: set[str] = set()
    for kind, (encode, impute) in product(
        find(name).kinds, [("native", "none"), ("one_hot", "median"), ("ordinal", "mean")]
    ):
        model = fitted(name, kind, Preprocess(numeric=Numeric(impute=impute), categorical=Categorical(encode=encode)))
        content = skops.io.dumps(model)
        needed |= set(skops.io.get_untrusted_types(data=content))
        loaded = skops.io.loads(content, trusted=skops_trusted(name))
        np.testing.assert_array_equal(predict(loaded, rows(seed=6)), predict(model, rows(seed=6)))
    assert needed == set(find(name).skops_trusted)


@every_name
def test_an_unknown_option_names_the_known_ones(name: str) -> None:
    known = OPTION[name][0]
    with pytest.raises(ParamsError, match=rf"no option `x{known}`.*did you mean `{known}`.*Known: .*{known}"):
        find(name).check_options([f"x{known}"])
    for managed in ("random_state", "verbose"):
        with pytest.raises(ParamsError, match="can be set here"):
            find(name).check_options([managed])
    with pytest.raises(ParamsError, match=r"set training\.class_weight"):
        find(name).check_options(["class_weight"])


@every_name
def test_a_bad_value_of_an_option_is_the_users_error(name: str) -> None:
    kind = find(name).kinds[0]
    frame = inputs(rows(), NAMES, CATEGORICAL)
    option, value = OPTION[name]
    with pytest.raises(ParamsError, match=rf"training.options: .*{option}"):
        fit(replace(recipe(name, kind), options={option: value}), frame, labels(frame, kind))


@every_name
def test_a_kind_that_the_estimator_cannot_predict_names_those_that_can(name: str) -> None:
    for kind in set(get_args(Kind)) - set(find(name).kinds):
        with pytest.raises(ParamsError, match=rf"`{name}` is for .* for {kind} there are hist_gradient_boosting"):
            fit(replace(recipe(name, find(name).kinds[0]), kind=kind), rows(), np.arange(400.0))


@every_classifier
def test_one_label_alone_is_an_error(name: str, kind: Kind) -> None:
    with pytest.raises(EvergreenError, match=r"all 400 rows to learn from have the label 1: a classifier needs two"):
        fit(recipe(name, kind), inputs(rows(), NAMES, CATEGORICAL), np.ones(400))


@every_classifier
def test_weights_shift_the_predictions(name: str, kind: Kind) -> None:
    """On labels that are partly chance: what is certain, no weight can shift."""
    frame, random = inputs(rows(), NAMES, CATEGORICAL), np.random.default_rng(0)
    y = np.where(random.random(400) < 0.4, random.permutation(labels(frame, kind)), labels(frame, kind))
    weights = {0.0: 1.0, 1.0: 9.0} | ({2.0: 1.0, 3.0: 5.0} if kind == "multiclass" else {})  # 3: not among the rows
    plain, heavy, balanced = (
        predict(fit(recipe(name, kind, weights=given), frame, y), rows(seed=7)) for given in (None, weights, "balanced")
    )
    of_one = (slice(None), 1) if kind == "multiclass" else slice(None)
    assert heavy[of_one].mean() > plain[of_one].mean() + 0.05
    assert not np.array_equal(balanced, plain)


def test_the_catalog_loads_nothing_heavy() -> None:
    """Reading the catalog must stay cheap: no heavy import until something is fitted."""
    code = (
        "import json, sys; import evergreen.training.estimators;"
        "print(json.dumps([m for m in ('sklearn', 'pandas', 'numpy', 'lightgbm') if m in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


def test_without_lightgbm_its_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)  # how Python says that a module cannot be imported
    with pytest.raises(ParamsError, match=r"lightgbm is not installed .* `pip install 'evergreen\[lightgbm\]'`"):
        find("lightgbm").check_options([])
