"""The figures of a multiclass model as sums by day; macro figures are means over the classes that occur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evergreen.training.evaluation.days import Days, ratio
from evergreen.training.evaluation.ranking import AveragePrecision, RocAuc


@dataclass(frozen=True)
class Multiclass:
    """P of each class (rows, classes) beside labels that are the places of classes."""

    sums: dict[str, Any]  # (days,) each
    cells: Any  # (days, actual, predicted): rows
    usable: bool  # every prediction is a probability: else nothing is defined
    roc_auc: tuple[RocAuc, ...]  # each class against the rest
    pr_auc: tuple[AveragePrecision, ...]

    @classmethod
    def of(cls, y: Any, p: Any, days: Days, pr_auc: bool = False) -> Multiclass:
        """Of predictions (rows, classes)."""
        import numpy as np

        from evergreen.training.metrics import class_log_losses, probabilities

        usable = probabilities(p)
        p = p if usable else np.zeros(p.shape)
        classes, actual = p.shape[1], y.astype("int64")
        said = np.argmax(p, axis=1) if len(p) else np.empty(0, dtype="int64")
        brier = ((p - np.eye(classes)[actual]) ** 2).sum(axis=1)
        code = (days.number * classes + actual) * classes + said
        cells = np.bincount(code, minlength=days.total * classes**2).reshape(days.total, classes, classes)
        sums = {"rows": np.ones(len(y)), "log_loss": class_log_losses(y, p), "brier": brier}
        ranked = [(y == place, p[:, place]) for place in range(classes)]
        return cls(
            {name: days.sums(column) for name, column in sums.items()},
            cells.astype("float64"),
            usable,
            tuple(RocAuc.of(truth, score, days) for truth, score in ranked),
            tuple(AveragePrecision.of(truth, score, days) for truth, score in ranked) if pr_auc else (),
        )

    def at(self, weights: Any) -> dict[str, Any]:
        """Each figure at each row of `weights`."""
        import numpy as np

        s = {name: weights @ sums for name, sums in self.sums.items()}
        cells = np.tensordot(weights, self.cells, axes=1)  # (resamples, actual, predicted)
        right, actual, said = np.diagonal(cells, axis1=1, axis2=2), cells.sum(axis=2), cells.sum(axis=1)
        occurs = actual > 0
        found = {
            "majority_rate": ratio(actual.max(axis=1, initial=0), s["rows"]),
            "accuracy": ratio(right.sum(axis=1), s["rows"]),
            # A class that occurs and is never predicted has been predicted with no precision.
            "macro_precision": _mean(np.where(said > 0, ratio(right, said), 0.0), occurs),
            "macro_recall": _mean(ratio(right, actual), occurs),
            "macro_f1": _mean(ratio(2 * right, actual + said), occurs),
            "log_loss": ratio(s["log_loss"], s["rows"]),
            "brier": ratio(s["brier"], s["rows"]),
            "macro_roc_auc": _macro(self.roc_auc, weights, occurs),
        }
        if self.pr_auc:
            found["macro_pr_auc"] = _macro(self.pr_auc, weights, occurs)
        if self.usable:
            return found
        nothing = np.full(len(weights), np.nan)
        return {name: value if name == "majority_rate" else nothing for name, value in found.items()}


def _macro(ranks: Any, weights: Any, occurs: Any) -> Any:
    import numpy as np

    return _mean(np.column_stack([rank.at(weights) for rank in ranks]), occurs)


def _mean(by_class: Any, occurs: Any) -> Any:
    """The mean over the classes that occur; NaN where it is not defined for one of them."""
    import numpy as np

    return ratio(np.where(occurs, by_class, 0.0).sum(axis=1), occurs.sum(axis=1))
