"""`training.class_weight` as scikit-learn takes it: by the float that stands for a label in features.parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evergreen.errors import ParamsError
from evergreen.params.base import nearest
from evergreen.params.prediction import Kind


def weights_of(
    given: str | Mapping[str, float] | None, kind: Kind, classes: Sequence[str] = ()
) -> str | dict[float, float] | None:
    """The weight of each label, 1 where none is given; `classes` names a multiclass label's, in order.

    Raises ParamsError for a label that does not exist, and for a label that has no classes.
    """
    if given is None:
        return None
    if kind == "regression":
        raise ParamsError("training.class_weight: the label is a number, which has no classes; remove the key")
    if isinstance(given, str):
        return given
    places = dict.fromkeys(("false", "0"), 0.0) | dict.fromkeys(("true", "1"), 1.0)
    if kind == "multiclass":
        places = {name: float(place) for place, name in enumerate(classes)}
    for label in given:
        if label not in places:
            raise ParamsError(f"training.class_weight: `{label}` is no label; {nearest(label, list(places))}")
    return dict.fromkeys(sorted(set(places.values())), 1.0) | {places[label]: weight for label, weight in given.items()}


def seen_weights(weights: str | Mapping[float, float] | None, labels: Any) -> str | Mapping[float, float] | None:
    """The weights of the labels that a fit sees: LightGBM stumbles over that of another one."""
    if weights is None or isinstance(weights, str):
        return weights
    found = set(labels.tolist())
    return {label: weight for label, weight in weights.items() if label in found}
