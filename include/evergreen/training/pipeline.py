"""One scikit-learn Pipeline: the row-level preprocessing and the estimator in a single artifact.

It is made of scikit-learn's own parts where it has them. What it knows of categories and numbers it has learned from
the rows that it was fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError, ParamsError
from evergreen.params import Params
from evergreen.params.prediction import Kind
from evergreen.params.preprocess import Preprocess
from evergreen.params.training import Calibration, EstimatorName
from evergreen.training.constraints import check_monotonic, places_of
from evergreen.training.estimators import Estimator, Setting, find
from evergreen.training.interned import interned
from evergreen.training.preprocess.fitted import Fitted, fit_preprocessing
from evergreen.training.weights import seen_weights, weights_of

if TYPE_CHECKING:
    import pandas as pd

SIMPLE: dict[str, EstimatorName] = {"logistic": "ridge"}  # the default baseline, where the label is a number
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Recipe:
    """All that a fit needs beside its rows.

    Labels are 0 and 1 (binary), the place of the class (multiclass, of `n_classes`) or the value (regression).
    `weights` maps each label to the weight of its rows; `times` are features in seconds since 1970.
    """

    estimator: str
    options: dict[str, Any]
    preprocess: Preprocess
    names: tuple[str, ...]
    categorical: tuple[str, ...]
    seed: int
    kind: Kind = "binary"
    n_classes: int = 2
    weights: str | Mapping[float, float] | None = None
    monotonic: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None
    times: tuple[str, ...] = ()
    time_zone: str = "UTC"

    @classmethod
    def candidate(cls, params: Params, chosen: Mapping[str, Any] = NO_OPTIONS) -> Recipe:
        """The configured estimator, its options those `chosen` by a search first; ParamsError for what it cannot do."""
        training = params.training
        recipe = cls.of(params, training.estimator, {**training.options, **chosen}, params.preprocess)
        recipe = replace(
            recipe,
            weights=weights_of(training.class_weight, recipe.kind, params.prediction.label.classes or ()),
            monotonic=dict(training.monotonic),
            calibration=training.calibration,
        )
        check_monotonic(recipe.monotonic, recipe.preprocess, params.features, find(recipe.estimator), recipe.kind)
        if recipe.calibration and recipe.kind == "regression":
            raise ParamsError("training.calibration: the label is a number, which has no probability; remove the key")
        return recipe

    @classmethod
    def baseline(cls, params: Params) -> Recipe | None:
        """The simpler model shown beside it, with defaults of its own; None where none is wanted."""
        name = params.training.baseline
        if (
            name
            and params.prediction.label.kind not in find(name).kinds
            and "baseline" not in params.training.model_fields_set
        ):
            name = SIMPLE.get(name, name)
        return cls.of(params, name, {}, Preprocess()) if name else None

    @classmethod
    def of(cls, params: Params, name: str, options: dict[str, Any], preprocess: Preprocess) -> Recipe:
        """A recipe on this use case's features; raise ParamsError for an option that the estimator lacks."""
        label = params.prediction.label
        entry = find(name, label.kind)
        entry.check_options(options, label.kind)
        features = params.features
        return cls(
            estimator=name,
            options=dict(options),
            preprocess=entry.suited(preprocess),
            names=tuple(features.names()),
            categorical=tuple(feature for feature in features.names() if feature in features.categorical),
            seed=params.training.seed,
            kind=label.kind,
            n_classes=label.n_classes or 2,
            times=features.times,
            time_zone=params.time_zone,
        )


def fit(recipe: Recipe, rows: pd.DataFrame, labels: Any) -> Any:
    """The fitted Pipeline on `rows` as `frame.inputs` gives them, in order of time, and their labels as floats.

    A column without any value in these rows is left out: it says nothing, and estimators stumble over it.
    Raises ParamsError for an option's value that the estimator refuses, and EvergreenError for more levels than it
    can take, for a classifier's rows that all have one label, and for too few rows to calibrate on.
    """
    from sklearn.pipeline import Pipeline

    from evergreen.training.calibration import calibrated, slices

    recipe = replace(recipe, **{one.name: interned(getattr(recipe, one.name)) for one in fields(recipe)})
    entry = find(recipe.estimator, recipe.kind)
    rows, labels = _kept(recipe, rows, labels)
    learn, calibrate = slices(recipe.calibration, len(rows))
    _require_classes(recipe, labels[learn])
    prepared = fit_preprocessing(recipe, entry, rows.iloc[learn], labels[learn])
    limit = _limit(entry)
    estimator = _fit(entry, recipe, prepared, limit, labels[learn])
    steps = [*prepared.steps, *limit]
    if recipe.calibration:
        table = Pipeline(steps).transform(rows.iloc[calibrate])
        estimator = calibrated(estimator, recipe.calibration, table, labels[calibrate])
    model = Pipeline([*steps, ("estimator", estimator)])
    if recipe.kind == "multiclass":
        model.n_classes_ = recipe.n_classes  # a fit may have seen fewer
    return model


def _kept(recipe: Recipe, rows: pd.DataFrame, labels: Any) -> tuple[pd.DataFrame, Any]:
    """The rows to learn from: all, or those that lack none of `preprocess.drop_rows`."""
    needed = list(recipe.preprocess.drop_rows)
    if not needed:
        return rows, labels
    whole = rows[needed].notna().all(axis=1).to_numpy()
    if not whole.any():
        raise EvergreenError(
            f"preprocess.drop_rows leaves none of {len(rows)} rows to learn from: each lacks one of "
            f"{', '.join(needed)}. Name fewer features, or impute them"
        )
    return rows[whole], labels[whole]


def _fit(entry: Estimator, recipe: Recipe, prepared: Fitted, limit: list[tuple[str, Any]], labels: Any) -> Any:
    table = prepared.table
    for _, step in limit:
        table = step.fit_transform(table, labels)
    monotonic = places_of(recipe.monotonic, prepared)
    weights = seen_weights(recipe.weights, labels)
    setting = Setting(recipe.kind, recipe.options, recipe.seed, prepared.native, monotonic, weights)
    try:
        return entry.make(setting).fit(table, labels, **entry.fit_arguments(setting))
    except Exception as error:
        # What scikit-learn and LightGBM say of an option's value; the latter's is no ValueError.
        if type(error).__name__ in ("InvalidParameterError", "LightGBMError"):
            raise ParamsError(f"training.options: {error}") from None
        raise


def _limit(entry: Estimator) -> list[tuple[str, Any]]:
    """A step that keeps numbers within float32, where the estimator would give up on the first larger one."""
    import numpy as np
    from sklearn.preprocessing import FunctionTransformer

    if not entry.float32:
        return []
    largest = float(np.finfo("float32").max)
    return [("limit", FunctionTransformer(np.clip, kw_args={"a_min": -largest, "a_max": largest}))]


def _require_classes(recipe: Recipe, labels: Any) -> None:
    import numpy as np

    if recipe.kind == "regression":
        return
    found = np.unique(labels)
    if len(found) < 2:
        said = f"all {len(labels)} rows to learn from have the label {found[0]:g}" if len(found) else "there is no row"
        raise EvergreenError(f"{said}: a classifier needs two. Check prediction.label.value, or wait for more labels")
