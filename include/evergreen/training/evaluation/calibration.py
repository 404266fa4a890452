"""Ten groups of rows with neighbouring predictions: what was predicted beside what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evergreen.training.evaluation.days import Days, ratio
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.records import Bin

BINS = 10


@dataclass(frozen=True)
class _Mean:
    sums: Any
    rows: Any

    def at(self, weights: Any) -> dict[str, Any]:
        return {"mean": ratio(weights @ self.sums, weights @ self.rows)}


def calibration_of(judged: Judged, days: Days) -> tuple[Bin, ...]:
    """Groups of equal size in order of the prediction: a probability beside the rate, or a value beside the mean."""
    import numpy as np

    p, y = judged.p, judged.y
    if judged.kind == "multiclass":  # of the class that it names: how often is it right where it says so?
        named = np.argmax(p, axis=1) if len(p) else np.empty(0, dtype="int64")
        p, y = np.take_along_axis(p, named[:, None], axis=1)[:, 0], (named == y).astype("float64")
    if not np.isfinite(p).all():
        return ()
    found = []
    for group in np.array_split(np.argsort(p, kind="stable"), BINS):
        if len(group):
            own = days.take(group)
            mean = own.resample(_Mean(own.sums(y[group]), own.sums(np.ones(len(group)))))
            found.append(Bin(predicted=float(p[group].mean()), actual=own.figures(mean)["mean"], rows=len(group)))
    return tuple(found)
