"""The folds of a search: rows to learn from, and rows to judge by that nobody had seen by then.

Folds that go by time have a cut-off. A row trains a fold where its label was known by the cut-off, less the configured
gap, and judges it where its moment lies after the cut-off. So the gap between the two is exactly as long as that label
took, whatever the label delay is and however it varies: no fold learns from a label that was unknown at its cut-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evergreen.clock import format_time
from evergreen.errors import EvergreenError
from evergreen.params.prediction import Kind
from evergreen.params.search import Folds

if TYPE_CHECKING:
    import pandas as pd

LEAST = 2  # rows of each class for a fit


@dataclass(frozen=True)
class Fold:
    """Row numbers into the feature table, ascending."""

    train: Any
    validate: Any
    cutoff: datetime | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"the fold at {format_time(self.cutoff)}" if self.cutoff else f"a fold of {len(self.validate)} rows"


@dataclass(frozen=True)
class Cut:
    """The folds that can be used, and why others were left out."""

    folds: tuple[Fold, ...]
    left_out: tuple[str, ...]


def cut(meta: pd.DataFrame, rows: Any, folds: Folds, seed: int, metric: str, kind: Kind) -> Cut:
    """Cut `rows` (row numbers of `meta`, all labelled) into folds.

    One that has no rows, or too few classes for the fit or the metric, is left out and said. Raises
    EvergreenError where none is left.
    """
    labels = meta["_label"].to_numpy()
    made = _by_time(meta, rows, folds) if folds.kind in ("expanding", "sliding") else _mixed(labels, rows, folds, seed)
    kept, left_out = [], []
    for fold in made:
        if why := _unusable(labels, fold, metric, kind):
            left_out.append(f"{fold.name}: {why}")
        else:
            kept.append(fold)
    if not kept:
        raise EvergreenError(
            f"no fold of the search can be used ({'; '.join(left_out)}). Lower search.folds.count or gap, make "
            "search.folds.window longer, or wait for more labels"
        )
    return Cut(tuple(kept), tuple(left_out))


def _by_time(meta: pd.DataFrame, rows: Any, folds: Folds) -> list[Fold]:
    """Cut-offs that part the rows, in order of their moments, into `count` + 1 parts of as many rows."""
    import numpy as np

    times = meta["_time"].to_numpy(dtype="datetime64[us]")[rows]
    known = meta["_label_known_at"].to_numpy(dtype="datetime64[us]")[rows]
    ordered = np.sort(times)
    places = [len(rows) * part // (folds.count + 1) for part in range(1, folds.count + 1)]
    cutoffs = [ordered[max(place - 1, 0)] for place in places]
    made = []
    for cutoff, end in zip(cutoffs, [*cutoffs[1:], ordered[-1]], strict=True):
        learned = cutoff - np.timedelta64(folds.gap)
        train = known <= learned
        if folds.window:
            train &= known > learned - np.timedelta64(folds.window)
        moment = cutoff.astype(datetime).replace(tzinfo=UTC)
        made.append(Fold(rows[train], rows[(times > cutoff) & (times <= end)], moment))
    return made


def _mixed(labels: Any, rows: Any, folds: Folds, seed: int) -> list[Fold]:
    """Rows dealt to the folds in turn, in a random order; class by class where stratified."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(rows))
    if folds.kind == "stratified":
        order = order[np.argsort(labels[rows[order]], kind="stable")]
    dealt = np.empty(len(rows), dtype="int64")
    dealt[order] = np.arange(len(rows)) % folds.count
    return [Fold(rows[dealt != number], rows[dealt == number]) for number in range(folds.count)]


def _unusable(labels: Any, fold: Fold, metric: str, kind: Kind) -> str | None:
    import numpy as np

    if kind == "regression":
        few = len(fold.train) < LEAST
        return "no row to learn from" if few else None if len(fold.validate) else "no row to judge by"
    names = {0.0: "false", 1.0: "true"} if kind == "binary" else {}
    said = [_counts(labels[rows], names) for rows in (fold.train, fold.validate)]
    found, counts = np.unique(labels[fold.train], return_counts=True)
    if len(found) < 2 or counts.min() < LEAST:
        return f"{said[0]} labels to learn from"
    if not len(fold.validate):
        return "no row to judge by"
    if metric.endswith(("roc_auc", "pr_auc")) and len(np.unique(labels[fold.validate])) < 2:
        return f"{metric} is not defined for {said[1]} labels"
    return None


def _counts(labels: Any, names: dict[float, str]) -> str:
    """`3 true and 0 false`, or how many there are of each class that occurs."""
    import numpy as np

    if names:
        return " and ".join(
            f"{int((labels == value).sum())} {name}" for value, name in sorted(names.items(), reverse=True)
        )
    found, counts = np.unique(labels, return_counts=True)
    return ", ".join(f"{count} of class {int(value)}" for value, count in zip(found, counts, strict=True)) or "no"
