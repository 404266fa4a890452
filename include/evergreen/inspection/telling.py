"""How well one column alone tells a label of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.inspection.signal import LEAST, agreement, strength

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from evergreen.params.prediction import Label

    Floats = np.ndarray[Any, Any]

PERFECT = 0.98  # ROC AUC of one column alone that no honest one has
PERFECT_RANKS, PERFECT_SHARE = 0.99, 0.98  # of a number: the rank correlation, and the share of its variance


class Telling(NamedTuple):
    """Whether a column tells the label, and the figure that says so."""

    perfect: bool
    figure: str


def telling(label: Label, values: Floats, column: pa.ChunkedArray) -> Telling:
    """A column (a value a row) against the labels of the same rows, `values`."""
    import numpy as np

    if label.kind == "regression":
        ranks, share = agreement(values, column)
        if ranks >= PERFECT_RANKS:
            return Telling(True, f"rank correlation {ranks:.3f}")
        return Telling(share >= PERFECT_SHARE, f"its values explain {share:.1%} of the label's variance")
    if label.kind == "binary":
        area = strength(values, column)
        return Telling(area >= PERFECT, f"ROC AUC {area:.3f}")
    counts = [int((values == place).sum()) for place in range(label.n_classes)]
    judged = [place for place, count in enumerate(counts) if min(count, len(values) - count) >= LEAST]
    areas = [strength((values == place).astype("float64"), column) for place in judged]
    mean = float(np.mean(areas)) if areas else 0.5
    return Telling(mean >= PERFECT, f"mean ROC AUC of its classes {mean:.3f}")


def ways(label: Label, values: Floats) -> dict[str, Floats]:
    """The outcomes that a gap of a column may go with, as masks; a number has none."""
    if label.kind == "regression":
        return {}
    if label.kind == "binary":
        return {"true": values > 0.5, "false": ~(values > 0.5)}
    return {name: values == place for place, name in enumerate(label.classes or ())}
