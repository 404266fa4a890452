"""The judged rows, and how rows of each kind of prediction are tallied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.params.evaluation import Cost
from evergreen.params.prediction import Kind
from evergreen.training.evaluation.days import Days, Tally

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Judged:
    """Rows that the twin has not learned from, with its predictions and those of the baseline model."""

    kind: Kind
    rows: pd.DataFrame  # `_time` and the features
    y: Any  # (rows,): 0 and 1, places of classes, or values
    p: Any  # (rows,), of a multiclass model (rows, classes)
    p_baseline: Any | None
    categorical: tuple[str, ...]
    threshold: float | None  # of a binary model
    cost: Cost | None = None
    baseline_threshold: float | None = None  # the baseline model's own; null: that of the twin

    def tally(self, days: Days, rows: Any = slice(None), full: bool = False) -> Tally:
        """The twin's figures of some rows; `full` has those too that take longer."""
        return self.tally_of(self.y[rows], self.p[rows], days, self.threshold, full)

    def tally_of(self, y: Any, p: Any, days: Days, threshold: float | None, full: bool = False) -> Tally:
        """The figures of any predictions of this kind."""
        from evergreen.training.evaluation.binary import Binary
        from evergreen.training.evaluation.multiclass import Multiclass
        from evergreen.training.evaluation.regression import Regression

        if self.kind == "binary":
            return Binary.of(y, p, 0.5 if threshold is None else threshold, days, self.cost, full)
        if self.kind == "multiclass":
            return Multiclass.of(y, p, days, full)
        return Regression.of(y, p, days)
