"""The figures of a regression as sums by day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evergreen.training.evaluation.days import Days, ratio


@dataclass(frozen=True)
class Regression:
    """Predicted values beside actual ones."""

    sums: dict[str, Any]  # (days,) each
    centre: float  # taken off before squaring, which loses no digits then
    usable: bool  # no prediction is infinite or missing: else nothing is defined

    @classmethod
    def of(cls, y: Any, p: Any, days: Days) -> Regression:
        """Of predictions (rows,)."""
        import numpy as np

        centre = float(y.mean()) if len(y) else 0.0
        usable = bool(np.isfinite(p).all())
        error = (p if usable else np.zeros(len(y))) - y
        relative = np.divide(np.abs(error), np.abs(y), out=np.zeros(len(y)), where=y != 0)
        sums = {
            "rows": np.ones(len(y)), "y": y - centre, "y2": (y - centre) ** 2, "error": error,
            "absolute": np.abs(error), "square": error**2, "relative": relative, "counted": y != 0,
        }  # fmt: skip
        return cls({name: days.sums(column) for name, column in sums.items()}, centre, usable)

    def at(self, weights: Any) -> dict[str, Any]:
        """Each figure at each row of `weights`."""
        import numpy as np

        s = {name: weights @ sums for name, sums in self.sums.items()}
        mse = ratio(s["square"], s["rows"])
        variation = np.maximum(s["y2"] - ratio(s["y"] ** 2, s["rows"]), 0)
        constant = variation <= 1e-12 * s["y2"]
        found = {
            "mean": ratio(s["y"], s["rows"]) + self.centre,
            "mae": ratio(s["absolute"], s["rows"]),
            "mse": mse,
            "rmse": np.sqrt(mse),
            "r2": np.where(constant, np.nan, 1 - ratio(s["square"], variation)),
            # Rows whose outcome is zero have no relative error; Evaluation.counts says how many.
            "mape": ratio(s["relative"], s["counted"]),
            "bias": ratio(s["error"], s["rows"]),
        }
        nothing = np.full(len(weights), np.nan)
        return found if self.usable else {name: nothing if name != "mean" else found[name] for name in found}
