"""Columns that say too much about the label: almost perfect alone, adding up to it, or missing where it is one way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from evergreen.inspection.convert import is_number
from evergreen.inspection.outcome import Outcome
from evergreen.inspection.signal import only_among, same_rows, strength

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Floats = np.ndarray[Any, Any]

PERFECT = 0.98  # ROC AUC of one column alone that no honest one has
_EXACT = 0.99
_HEAD = 64  # rows that rule out nearly every pair of columns


class Suspect(NamedTuple):
    """What is wrong with a column: it tells the label of every row, or whether there is one, or tells of some rows."""

    why: str
    kind: Literal["label", "whether", "some"]


def find_suspects(outcome: Outcome, columns: Mapping[str, pa.ChunkedArray]) -> dict[str, Suspect]:
    """The columns (a value a row of the outcome) that know too much, with what they know."""
    found = {}
    labelled, settled = outcome.labelled, outcome.settled
    label, unlabelled = outcome.label[labelled] > 0.5, ~labelled
    for name, values in columns.items():
        missing = values.is_null().to_numpy(zero_copy_only=False)
        at_labels = missing[labelled]
        if (auc := strength(outcome.label[labelled], filtered(values, labelled))) >= PERFECT:
            found[name] = Suspect(f"Alone it tells the label: ROC AUC {auc:.3f}.", "label")
        elif same_rows(at_labels, label) >= _EXACT or same_rows(at_labels, ~label) >= _EXACT:
            way = "true" if same_rows(at_labels, label) >= _EXACT else "false"
            found[name] = Suspect(f"It is null exactly when the label is {way}.", "label")
        elif same_rows(missing[settled], unlabelled[settled]) >= _EXACT:
            found[name] = Suspect("It is null exactly when the row never gets a label.", "whether")
        elif only_among(at_labels, label) or only_among(at_labels, ~label):
            way = "true" if label[at_labels].all() else "false"
            found[name] = Suspect(f"It is null in {at_labels.sum():,} rows, and the label of each is {way}.", "some")
        elif only_among(missing[settled], unlabelled[settled]):
            count = missing[settled].sum()
            found[name] = Suspect(f"It is null in {count:,} rows, none of which ever gets a label.", "whether")
    return found


def find_parts(own: Collection[str], columns: Mapping[str, pa.ChunkedArray]) -> dict[str, Suspect]:
    """Pairs of columns whose sum or difference is, in every row, a column that the label is made of."""
    import numpy as np

    numbers = {name: _numbers(values) for name, values in columns.items() if is_number(values.type)}
    found: dict[str, Suspect] = {}
    for whole in sorted(set(own) & set(numbers)):
        others = {name: part for name, part in numbers.items() if name not in own and len(np.unique(part)) > 2}
        for (one, left), (other, right) in combinations(others.items(), 2):
            ways = {
                f"{one} + {other}": left + right,
                f"{one} - {other}": left - right,
                f"{other} - {one}": right - left,
            }
            for way, made in ways.items():
                if _equal(made[:_HEAD], numbers[whole][:_HEAD]) and _equal(made, numbers[whole]):
                    why = f"The label is made of `{whole}`, which is `{way}` in every row."
                    found |= {one: Suspect(why, "label"), other: Suspect(why, "label")}
    return found


def _equal(one: Floats, other: Floats) -> bool:
    import numpy as np

    return np.allclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True)


def _numbers(values: pa.ChunkedArray) -> Floats:
    found: Floats = values.to_numpy().astype("float64")
    return found


def filtered(values: pa.ChunkedArray, mask: np.ndarray[Any, Any]) -> pa.ChunkedArray:
    """The values of the rows in `mask`."""
    import pyarrow as pa

    return values.filter(pa.array(mask))
