"""`training.monotonic`: from names of features to places among the estimator's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evergreen.errors import ParamsError
from evergreen.params.base import nearest
from evergreen.params.derived import Derived, derivations
from evergreen.params.features import Features
from evergreen.params.prediction import Kind
from evergreen.params.preprocess import Preprocess
from evergreen.training.estimators import CATALOG, Estimator

if TYPE_CHECKING:
    from evergreen.training.preprocess.fitted import Fitted

SIGNS = {"increasing": 1, "decreasing": -1}


def check_monotonic(
    monotonic: Mapping[str, str], preprocess: Preprocess, features: Features, entry: Estimator, kind: Kind
) -> None:
    """Raise ParamsError for a constraint that the estimator, the kind of label or the column cannot have."""
    if not monotonic:
        return
    if not entry.monotonic:
        able = ", ".join(name for name, other in CATALOG.items() if other.monotonic and kind in other.kinds)
        raise ParamsError(f"training.monotonic: {entry.name} knows no such constraints; these do: {able}")
    if kind == "multiclass":
        raise ParamsError("training.monotonic: a label of several classes has no direction; remove the key")
    added = derivations(preprocess, "UTC")
    categorical = [*features.categorical, *(one.name for one in added if one.categorical)]
    known = [name for name in features.names() if name not in features.times] + [one.name for one in added]
    for name in monotonic:
        if name not in known:
            raise ParamsError(f"training.monotonic: `{name}` is no feature; {nearest(name, known)}")
        if name in categorical:
            settings = preprocess.categorical_of(name)
            if settings.encode != "ordinal" or not settings.order:
                raise ParamsError(
                    f"training.monotonic: `{name}` is a category without an order; give it one with "
                    f"preprocess.columns.{name}: {{encode: ordinal, order: [...]}}"
                )
            continue
        _require_alone(name, preprocess, added)
        if (bins := preprocess.numeric_of(name).bin) is not None and bins.encode == "one_hot":
            raise ParamsError(
                f"training.monotonic: `{name}` is cut into a column a bin, which has no direction; set "
                f"preprocess.columns.{name}.bin.encode to `ordinal`"
            )


def _require_alone(name: str, preprocess: Preprocess, added: Sequence[Derived]) -> None:
    """Raise ParamsError where further columns move with the feature, and could turn the prediction round."""
    if moving := [one.name for one in added if name in one.features]:
        raise ParamsError(
            f"training.monotonic: `{moving[0]}` is made of `{name}` and moves with it, which no constraint holds; "
            "remove that column from preprocess, or the constraint"
        )
    outliers = preprocess.numeric_of(name).outliers
    if outliers is not None and outliers.then == "mark":
        raise ParamsError(
            f"training.monotonic: the mark of outliers moves with `{name}`, which no constraint holds; set "
            f"preprocess.columns.{name}.outliers.then to `clip`, or remove the constraint"
        )


def places_of(monotonic: Mapping[str, str], prepared: Fitted) -> list[int]:
    """-1, 0 or 1 for each of the estimator's inputs; a feature that is empty in the training rows has none."""
    if not monotonic:
        return []
    signs = [0] * prepared.table.shape[1]
    for name, direction in monotonic.items():
        if name in prepared.places:
            signs[prepared.places[name]] = SIGNS[direction]
    return signs
