"""The figures of a binary model as sums by day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evergreen.params.evaluation import Cost
from evergreen.training.evaluation.days import Days, ratio
from evergreen.training.evaluation.ranking import AveragePrecision, RocAuc


@dataclass(frozen=True)
class Binary:
    """P(label = 1) beside labels of 0 and 1, and what p >= threshold says."""

    sums: dict[str, Any]  # (days,) each
    usable: bool  # every prediction is a probability: else nothing is defined
    roc_auc: RocAuc
    pr_auc: AveragePrecision | None  # None where it is not wanted: it is the slow one
    cost: Cost | None

    @classmethod
    def of(cls, y: Any, p: Any, threshold: float, days: Days, cost: Cost | None = None, pr_auc: bool = False) -> Binary:
        """Of predictions (rows,)."""
        import numpy as np

        from evergreen.training.metrics import log_losses, probabilities

        usable = probabilities(p)
        p = p if usable else np.zeros(len(y))
        said, true = p >= threshold, y == 1
        columns = {
            "rows": np.ones(len(y)), "positives": true, "p": p, "log_loss": log_losses(y, p), "brier": (p - y) ** 2,
            "tp": said & true, "fp": said & ~true, "fn": ~said & true,
        }  # fmt: skip
        return cls(
            {name: days.sums(column) for name, column in columns.items()},
            usable,
            RocAuc.of(y, p, days),
            AveragePrecision.of(y, p, days) if pr_auc else None,
            cost,
        )

    def at(self, weights: Any) -> dict[str, Any]:
        """Each figure at each row of `weights`."""
        import numpy as np

        s = {name: weights @ sums for name, sums in self.sums.items()}
        rows, positives, said = s["rows"], s["positives"], s["tp"] + s["fp"]
        found = {
            # How often is it yes, and would saying always the more frequent have been right?
            "rate": ratio(positives, rows),
            "majority_rate": ratio(np.maximum(positives, rows - positives), rows),
            "accuracy": ratio(rows - s["fp"] - s["fn"], rows),
            "precision": ratio(s["tp"], said),
            "recall": ratio(s["tp"], positives),
            "f1": ratio(2 * s["tp"], said + positives),
            "selection_rate": ratio(said, rows),
            "false_positive_rate": ratio(s["fp"], rows - positives),
            "log_loss": ratio(s["log_loss"], rows),
            "brier": ratio(s["brier"], rows),
            "bias": ratio(s["p"] - positives, rows),
            "roc_auc": self.roc_auc.at(weights),
        }
        if self.pr_auc:
            found["pr_auc"] = self.pr_auc.at(weights)
        if self.cost:
            wrong = self.cost.false_negative * s["fn"] + self.cost.false_positive * s["fp"]
            found["cost_per_1000"] = ratio(1000 * wrong, rows)
        if self.usable:
            return found
        return {name: value if name in _OF_LABELS else np.full(len(weights), np.nan) for name, value in found.items()}


_OF_LABELS = ("rate", "majority_rate")
