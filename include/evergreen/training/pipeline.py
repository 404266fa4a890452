"""One scikit-learn Pipeline: the row-level preprocessing and the estimator in a single artifact.

It is made of scikit-learn's own parts, so that any scikit-learn can load it. Categories are learned from the rows
that it is fitted on; a level it has not seen counts as missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError, ParamsError
from evergreen.params import Params
from evergreen.params.training import Preprocess
from evergreen.training.estimators import Estimator, find

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Recipe:
    """All that a fit needs beside its rows."""

    estimator: str
    options: dict[str, Any]
    preprocess: Preprocess
    names: tuple[str, ...]
    categorical: tuple[str, ...]
    seed: int

    @classmethod
    def candidate(cls, params: Params) -> Recipe:
        """The configured estimator."""
        training = params.training
        return cls.of(params, training.estimator, training.options, params.preprocess)

    @classmethod
    def baseline(cls, params: Params) -> Recipe | None:
        """The simpler model shown beside it, with defaults of its own; None where none is wanted."""
        name = params.training.baseline
        return cls.of(params, name, {}, Preprocess()) if name else None

    @classmethod
    def of(cls, params: Params, name: str, options: dict[str, Any], preprocess: Preprocess) -> Recipe:
        """A recipe on this use case's features; raise ParamsError for an option that the estimator lacks."""
        entry = find(name)
        entry.check_options(options)
        features = params.features
        categorical = tuple(feature for feature in features.names() if feature in features.categorical)
        return cls(
            name, dict(options), entry.suited(preprocess), tuple(features.names()), categorical, params.training.seed
        )


def fit(recipe: Recipe, rows: pd.DataFrame, labels: Any) -> Any:
    """The fitted Pipeline on `rows` as `frame.inputs` gives them and `labels` of 0.0 and 1.0.

    A column without any value in these rows is left out: it says nothing, and estimators stumble over it.
    Raises ParamsError for an option's value that the estimator refuses, and EvergreenError for more levels than it
    can take.
    """
    entry = find(recipe.estimator)
    used = [name for name in recipe.names if rows[name].notna().any()]
    if not used:
        raise EvergreenError("every feature is empty in all training rows; look at build/features.parquet")
    categorical = [name for name in used if name in recipe.categorical]
    _check_levels(entry, recipe, rows, categorical)
    model = build(recipe, [name for name in used if name not in categorical], categorical)
    try:
        return model.fit(rows, labels)
    except ValueError as error:
        if type(error).__name__ == "InvalidParameterError":
            raise ParamsError(f"training.options: {error}") from None
        raise


def build(recipe: Recipe, numeric: list[str], categorical: list[str]) -> Any:
    """The unfitted Pipeline: numeric columns first, then the categorical ones."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    native = recipe.preprocess.categorical.encode == "native"
    places = [len(numeric) + place for place in range(len(categorical))] if native else []
    steps = [
        ("numeric", _numeric(recipe.preprocess), numeric),
        ("categorical", _categories(recipe.preprocess), categorical),
    ]
    return Pipeline(
        [
            ("preprocess", ColumnTransformer([step for step in steps if step[2]])),
            ("estimator", find(recipe.estimator).make(recipe.options, recipe.seed, places)),
        ]
    )


def _numeric(preprocess: Preprocess) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps: list[tuple[str, Any]] = []
    if preprocess.numeric.impute != "none":
        steps.append(("impute", SimpleImputer(strategy=preprocess.numeric.impute)))
    if preprocess.numeric.scale == "standard":
        steps.append(("scale", StandardScaler()))
    return Pipeline(steps) if steps else "passthrough"


def _categories(preprocess: Preprocess) -> Any:
    import numpy as np
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if preprocess.categorical.encode == "one_hot":
        return OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    if preprocess.categorical.encode == "native" or preprocess.numeric.impute == "none":
        return codes
    # An estimator that needs numbers without nulls gets a code of its own for a missing or unseen level.
    return Pipeline([("code", codes), ("missing", SimpleImputer(strategy="constant", fill_value=-1.0))])


def _check_levels(entry: Estimator, recipe: Recipe, rows: pd.DataFrame, categorical: list[str]) -> None:
    if entry.max_levels is None or recipe.preprocess.categorical.encode != "native":
        return
    for name in categorical:
        if (levels := rows[name].nunique()) > entry.max_levels:
            raise EvergreenError(
                f"the category `{name}` has {levels} levels in the training rows, and {entry.name} takes at most "
                f"{entry.max_levels}. Make it coarser, drop it from features.categorical, or set "
                "preprocess.categorical.encode to `ordinal` or `one_hot`"
            )
