"""A column as levels: a category's own, or spans of a number."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from evergreen.params.evaluation import Cut

if TYPE_CHECKING:
    import pandas as pd

MISSING = "missing"
MOST = 50  # levels of a category that are listed, the most frequent


@dataclass(frozen=True)
class Levels:
    """Each row's level as a place in `names`; -1 for a level that is left out."""

    place: Any  # (rows,)
    names: tuple[str, ...]
    left_out: int = 0  # levels


def levels_of(values: pd.Series, categorical: bool, cut: Cut | None = None) -> Levels:
    """The levels of a column, in order of their names or of their spans; a missing value is a level of its own."""
    return _categories(values) if categorical else _spans(values, cut or Cut())


def _categories(values: pd.Series) -> Levels:
    import numpy as np

    texts = np.where(values.isna(), MISSING, values.astype("object").astype("str"))
    names, place, counts = np.unique(texts.astype("str"), return_inverse=True, return_counts=True)
    kept = np.sort(np.lexsort((names, -counts))[:MOST])
    new = np.full(len(names), -1)
    new[kept] = np.arange(len(kept))
    return Levels(new[place], tuple(names[kept].tolist()), len(names) - len(kept))


def _spans(values: pd.Series, cut: Cut) -> Levels:
    """Spans from each edge up to the next, which is excluded."""
    import numpy as np

    numbers = values.to_numpy(dtype="float64", na_value=np.nan)
    known = numbers[np.isfinite(numbers)]
    edges = np.array(cut.edges)
    if not len(edges) and len(known):
        edges = np.unique(known)  # few values are a level each: quantiles would hide a rare one, as of a 0/1 column
        if len(edges) > cut.bins:
            edges = np.unique(np.quantile(known, np.arange(1, cut.bins) / cut.bins))
        edges = edges[edges > known.min()]
    place = np.where(np.isfinite(numbers), np.searchsorted(edges, numbers, "right"), len(edges) + 1)
    names = [*_span_names(edges.tolist()), MISSING]
    used, place = np.unique(place, return_inverse=True)
    return Levels(place, tuple(names[number] for number in used.tolist()))


def _span_names(edges: list[float]) -> list[str]:
    if not edges:
        return ["any"]
    texts = [f"{edge:g}" for edge in edges]
    if len(set(texts)) < len(texts):
        texts = [repr(edge) for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [f"under {texts[0]}", *between, f"{texts[-1]} and over"]
