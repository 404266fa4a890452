"""What every estimator of the catalog must keep to. A new entry is tested here without a new line."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import skops.io

from evergreen.errors import ParamsError
from evergreen.params.training import Categorical, Numeric, Preprocess, Training
from evergreen.training.artifacts import dump_model, predict
from evergreen.training.estimators import CATALOG, find, skops_trusted
from evergreen.training.frame import inputs
from evergreen.training.pipeline import Recipe, fit

NAMES = ("amount $", "constant", "empty", "Größe", "team", "void")
CATEGORICAL = ("team", "void")
QUICK: dict[str, dict[str, Any]] = {"hist_gradient_boosting": {"max_iter": 10}}
ENCODINGS: tuple[Any, ...] = ("native", "one_hot", "ordinal")
IMPUTATIONS: tuple[Any, ...] = ("none", "median", "mean")

pytestmark = pytest.mark.parametrize("name", CATALOG)


def recipe(name: str, preprocess: Preprocess | None = None) -> Recipe:
    preprocess = find(name).suited(preprocess or Preprocess())
    return Recipe(name, QUICK.get(name, {}), preprocess, NAMES, CATEGORICAL, seed=0)


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


def fitted(name: str, preprocess: Preprocess | None = None) -> Any:
    frame = inputs(rows(), NAMES, CATEGORICAL)
    return fit(recipe(name, preprocess), frame, labels(frame))


def labels(frame: pd.DataFrame) -> Any:
    signal = frame["Größe"] + np.where(frame["team"] == "a", 1.5, 0)
    return (signal > 0.5).to_numpy(dtype="float64")


def test_params_know_the_catalog(name: str) -> None:
    assert name in get_args(Training.model_fields["estimator"].annotation)
    assert set(get_args(Training.model_fields["estimator"].annotation)) == set(CATALOG)


def test_probabilities_follow_the_signal(name: str) -> None:
    p = predict(fitted(name), rows(seed=1))
    y = labels(rows(seed=1))
    assert p.dtype == np.float64
    assert ((p >= 0) & (p <= 1)).all()
    assert p[y == 1].mean() > p[y == 0].mean() + 0.3


@pytest.mark.parametrize("encode", ENCODINGS)
@pytest.mark.parametrize("impute", IMPUTATIONS)
@pytest.mark.parametrize("scale", ["none", "standard"])
def test_any_preprocessing_takes_nulls_and_unseen_levels(name: str, encode: Any, impute: Any, scale: Any) -> None:
    preprocess = Preprocess(numeric=Numeric(impute=impute, scale=scale), categorical=Categorical(encode=encode))
    model = fitted(name, preprocess)
    odd = rows(4, seed=2)
    odd["team"] = ["unseen", None, "a", np.nan]
    odd["amount $"] = [np.nan, np.inf, -np.inf, 1e300]
    odd["empty"] = 3.0
    odd["void"] = "now here"
    p = predict(model, odd)
    assert np.isfinite(p).all()
    assert ((p >= 0) & (p <= 1)).all()


@pytest.mark.parametrize("encode", ["native", "ordinal"])
def test_an_unseen_level_counts_as_missing(name: str, encode: Any) -> None:
    model = fitted(name, Preprocess(categorical=Categorical(encode=encode)))
    unseen, missing = rows(50, seed=3), rows(50, seed=3)
    unseen["team"], missing["team"] = "unseen", None
    if model.named_steps["preprocess"].named_transformers_["categorical"].__class__.__name__ == "OneHotEncoder":
        assert np.isfinite(predict(model, unseen)).all()  # no column is set, while a known null has one of its own
    else:
        np.testing.assert_array_equal(predict(model, unseen), predict(model, missing))


def test_a_row_alone_is_predicted_as_in_its_batch(name: str) -> None:
    model, batch = fitted(name), rows(40, seed=4)
    together = predict(model, batch)
    alone = np.concatenate([predict(model, batch.iloc[[place]]) for place in range(len(batch))])
    np.testing.assert_allclose(alone, together, rtol=1e-13)
    assert predict(model, batch.iloc[:0]).shape == (0,)


def test_types_and_further_columns_do_not_matter(name: str) -> None:
    model, batch = fitted(name), rows(40, seed=5)
    other = batch.astype({"team": "category", "Größe": "Float64"})[list(reversed(NAMES))].assign(_key="x")
    np.testing.assert_array_equal(predict(model, other), predict(model, batch))


def test_a_refit_has_the_same_bytes(name: str) -> None:
    assert dump_model(fitted(name)) == dump_model(fitted(name))


def test_skops_needs_exactly_the_trust_that_the_catalog_lists(name: str) -> None:
    needed: set[str] = set()
    for encode, impute in product(ENCODINGS, IMPUTATIONS):
        model = fitted(name, Preprocess(numeric=Numeric(impute=impute), categorical=Categorical(encode=encode)))
        content = skops.io.dumps(model)
        needed |= set(skops.io.get_untrusted_types(data=content))
        loaded = skops.io.loads(content, trusted=skops_trusted(name))
        np.testing.assert_array_equal(predict(loaded, rows(seed=6)), predict(model, rows(seed=6)))
    assert needed == set(skops_trusted(name))


def test_an_unknown_option_names_the_known_ones(name: str) -> None:
    with pytest.raises(ParamsError, match=r"no option `maxx_iter`.*did you mean `max_iter`.*Known: .*max_iter"):
        find(name).check_options(["maxx_iter"])
    for managed in ("random_state", "verbose"):
        with pytest.raises(ParamsError, match="can be set here"):
            find(name).check_options([managed])


def test_a_bad_value_of_an_option_is_the_users_error(name: str) -> None:
    frame = inputs(rows(), NAMES, CATEGORICAL)
    bad = Recipe(name, {"max_iter": -3}, find(name).suited(Preprocess()), NAMES, CATEGORICAL, seed=0)
    with pytest.raises(ParamsError, match=r"training.options: .*max_iter"):
        fit(bad, frame, labels(frame))


def test_listing_options_loads_no_state(name: str) -> None:
    """Reading the catalog must stay cheap: no heavy import until something is fitted."""
    code = (
        "import json, sys; import evergreen.training.estimators;"
        "print(json.dumps([m for m in ('sklearn', 'pandas', 'numpy') if m in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []
