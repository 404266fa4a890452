"""One scikit-learn Pipeline: the row-level preprocessing and the estimator in a single artifact.

It is made of scikit-learn's own parts, so that any scikit-learn can load it. Categories are learned from the rows
that it is fitted on; a level it has not seen counts as missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError, ParamsError
from evergreen.params import Params
from evergreen.params.prediction import Kind
from evergreen.params.training import Preprocess
from evergreen.training.estimators import Estimator, Setting, find
from evergreen.training.weights import weights_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Recipe:
    """All that a fit needs beside its rows. `weights` maps each label to the weight of its rows."""

    estimator: str
    options: dict[str, Any]
    preprocess: Preprocess
    names: tuple[str, ...]
    categorical: tuple[str, ...]
    seed: int
    kind: Kind = "binary"
    n_classes: int = 2
    weights: str | Mapping[float, float] | None = None

    @classmethod
    def candidate(cls, params: Params) -> Recipe:
        """The configured estimator."""
        training = params.training
        recipe = cls.of(params, training.estimator, training.options, params.preprocess)
        return replace(recipe, weights=weights_of(training.class_weight, recipe.kind))

    @classmethod
    def baseline(cls, params: Params) -> Recipe | None:
        """The simpler model shown beside it, with defaults of its own; None where none is wanted."""
        name = params.training.baseline
        return cls.of(params, name, {}, Preprocess()) if name else None

    @classmethod
    def of(cls, params: Params, name: str, options: dict[str, Any], preprocess: Preprocess) -> Recipe:
        """A recipe on this use case's features; raise ParamsError for an option that the estimator lacks."""
        kind: Kind = "binary"
        entry = find(name, kind)
        entry.check_options(options, kind)
        features = params.features
        categorical = tuple(feature for feature in features.names() if feature in features.categorical)
        return cls(
            name,
            dict(options),
            entry.suited(preprocess),
            tuple(features.names()),
            categorical,
            params.training.seed,
            kind,
        )


def fit(recipe: Recipe, rows: pd.DataFrame, labels: Any) -> Any:
    """The fitted Pipeline on `rows` as `frame.inputs` gives them, and `labels` as floats: see `Recipe.kind`.

    A column without any value in these rows is left out: it says nothing, and estimators stumble over it.
    Raises ParamsError for an option's value that the estimator refuses, and EvergreenError for more levels than it
    can take, and for a classifier's rows that all have one label.
    """
    from sklearn.pipeline import Pipeline

    entry = find(recipe.estimator, recipe.kind)
    _require_classes(recipe, labels)
    used = [name for name in recipe.names if rows[name].notna().any()]
    if not used:
        raise EvergreenError("every feature is empty in all training rows; look at build/features.parquet")
    categorical = [name for name in used if name in recipe.categorical]
    numeric = [name for name in used if name not in categorical]
    _check_levels(entry, recipe, rows, categorical)
    preprocess = preprocessing(recipe, numeric, categorical)
    steps = [("preprocess", preprocess), *_limit(entry)]
    table = rows
    for _, step in steps:
        table = step.fit_transform(table, labels)
    native = recipe.preprocess.categorical.encode == "native"
    places = range(len(numeric), len(numeric) + len(categorical)) if native else ()
    setting = Setting(recipe.kind, recipe.options, recipe.seed, places, (), recipe.weights)
    model = Pipeline([*steps, ("estimator", _fit(entry, setting, table, labels))])
    if recipe.kind == "multiclass":
        model.n_classes_ = recipe.n_classes  # a fit may have seen fewer
    return model


def _limit(entry: Estimator) -> list[tuple[str, Any]]:
    """A step that keeps numbers within float32, where the estimator would give up on the first larger one."""
    import numpy as np
    from sklearn.preprocessing import FunctionTransformer

    if not entry.float32:
        return []
    largest = float(np.finfo("float32").max)
    return [("limit", FunctionTransformer(np.clip, kw_args={"a_min": -largest, "a_max": largest}))]


def _fit(entry: Estimator, setting: Setting, table: Any, labels: Any) -> Any:
    try:
        return entry.make(setting).fit(table, labels, **entry.fit_arguments(setting))
    except Exception as error:
        # What scikit-learn and LightGBM say of an option's value; the latter's is no ValueError.
        if type(error).__name__ in ("InvalidParameterError", "LightGBMError"):
            raise ParamsError(f"training.options: {error}") from None
        raise


def _require_classes(recipe: Recipe, labels: Any) -> None:
    import numpy as np

    if recipe.kind == "regression":
        return
    found = np.unique(labels)
    if len(found) < 2:
        said = f"all {len(labels)} rows to learn from have the label {found[0]:g}" if len(found) else "there is no row"
        raise EvergreenError(f"{said}: a classifier needs two. Check prediction.label.value, or wait for more labels")


def preprocessing(recipe: Recipe, numeric: Sequence[str], categorical: Sequence[str]) -> Any:
    """The unfitted preprocessing: numeric columns first, then the categorical ones."""
    from sklearn.compose import ColumnTransformer

    steps = [
        ("numeric", _numeric(recipe.preprocess), list(numeric)),
        ("categorical", _categories(recipe.preprocess), list(categorical)),
    ]
    return ColumnTransformer([step for step in steps if step[2]])


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
