"""Columns that say too much about the label: almost perfect alone, adding up to it, or missing where it is one way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from evergreen.inspection.convert import is_number
from evergreen.inspection.outcome import Outcome
from evergreen.inspection.signal import only_among, same_rows
from evergreen.inspection.telling import telling, ways

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Floats = np.ndarray[Any, Any]

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
    label, unlabelled = outcome.label[labelled], ~labelled
    outcomes = ways(outcome.spec, label)
    for name, values in columns.items():
        missing = values.is_null().to_numpy(zero_copy_only=False)
        at_labels = missing[labelled]
        if (told := telling(outcome.spec, label, filtered(values, labelled))).perfect:
            found[name] = Suspect(f"Alone it tells the label: {told.figure}.", "label")
        elif way := next((way for way, mask in outcomes.items() if same_rows(at_labels, mask) >= _EXACT), None):
            found[name] = Suspect(f"It is null exactly when the label is {way}.", "label")
        elif same_rows(missing[settled], unlabelled[settled]) >= _EXACT:
            found[name] = Suspect("It is null exactly when the row never gets a label.", "whether")
        elif way := next((way for way, mask in outcomes.items() if only_among(at_labels, mask)), None):
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
