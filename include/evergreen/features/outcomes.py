"""The outcome that the label's expression gives, as the number that stands for it in a feature table.

1.0 or 0.0 of a binary label, the place of the class among several, or the value of a regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evergreen.errors import ParamsError

if TYPE_CHECKING:
    from evergreen.params.prediction import Kind, Label

WANTED: Mapping[Kind, str] = {
    "binary": "true, false or null, such as `late > 15`",
    "multiclass": "text or a whole number, one of prediction.label.classes",
    "regression": "a number, such as `price` or `date_diff('second', begun, ended)`",
}


def number_of(outcome: Any, label: Label) -> Any:
    """The column as float64; null where there is no label, and where it is one that cannot be (see `stray_of`).

    A NaN is no label. Raises ParamsError where the expression is of another type than the kind's.
    """
    import ibis

    _require_type(outcome.type(), label)
    if label.kind == "multiclass":
        places = [(name, float(place)) for place, name in enumerate(label.classes or ())]
        return outcome.cast("string").cases(*places, else_=ibis.null("float64"))
    value = outcome.cast("float64")
    if label.kind == "binary":
        return value
    return ibis.ifelse(value.isnan() | value.isinf(), ibis.null("float64"), value)


def stray_of(outcome: Any, label: Label) -> Any:
    """The outcomes that no label can be, as text, others null: a class that is not listed, an infinite number."""
    import ibis

    nothing = ibis.null("string")
    if label.kind == "multiclass":
        said = outcome.cast("string")
        return ibis.ifelse(said.isin(list(label.classes or ())), nothing, said)
    if label.kind == "regression":
        value = outcome.cast("float64")
        return ibis.ifelse(value.isinf(), value.cast("string"), nothing)
    return nothing


def advice(found: str, kind: Kind) -> str:
    """What to do about an expression of the DuckDB type `found` that is not the kind's; empty where that is unclear."""
    if kind == "binary" and found == "VARCHAR":
        return "; for one of several set prediction.label.kind to multiclass, and list its classes"
    if kind == "binary" and found not in ("TIMESTAMP", "DATE"):
        return "; to predict the number itself set prediction.label.kind to regression"
    if found == "BOOLEAN":
        return "; for true or false leave prediction.label.kind out, or set it to binary"
    return ""


def _require_type(type_: Any, label: Label) -> None:
    fits = {
        "binary": type_.is_boolean(),
        "multiclass": type_.is_string() or type_.is_integer(),
        "regression": type_.is_numeric() and not type_.is_boolean(),
    }[label.kind]
    if not fits:
        found = "VARCHAR" if type_.is_string() else str(type_).upper()
        raise ParamsError(
            f"prediction.label.value: `{label.value}` must be {WANTED[label.kind]}{advice(found, label.kind)}"
        )
