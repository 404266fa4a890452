"""Judged rows whose figures are known, and their evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from evergreen.params.evaluation import Cost, Cut
from evergreen.params.evaluation import Evaluation as Options
from evergreen.params.prediction import Kind
from evergreen.training.evaluation import Evaluation
from evergreen.training.evaluation.assess import assess
from evergreen.training.evaluation.days import Days
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.records import Threshold

ZONE = "America/New_York"
START = np.datetime64("2024-01-01T05", "us")  # midnight there
FEATURES = ("team", "size")


class Scene:
    """Rows spread evenly over `days`; `team` goes round red, green, blue, and `size` from 0 to 1."""

    def __init__(
        self,
        kind: Kind,
        y: Any,
        p: Any,
        *,
        days: int = 28,
        cost: Cost | None = None,
        columns: dict[str, Any] | None = None,
        trained: pd.DataFrame | None = None,
        threshold: float = 0.5,
        **options: Any,
    ) -> None:
        rows = len(y)
        self.rows = pd.DataFrame(
            {
                "_time": START + (np.arange(rows) * days * 86400 // max(rows, 1)).astype("timedelta64[s]"),
                "team": np.array(["red", "green", "blue"], dtype="object")[np.arange(rows) % 3],
                "size": np.arange(rows) / max(rows, 1),
                **(columns or {}),
            }
        )
        chosen = {"resamples": 100, "importance_rows": 200, "importance_repeats": 2, "least_rows": 20, **options}
        chosen.setdefault("segments", {"team": Cut(), "size": Cut(bins=4)})
        self.options = Options(cost=cost, **chosen)
        self.days = Days.of(self.rows["_time"], ZONE, self.options)
        chosen_threshold = threshold if kind == "binary" else None
        y, p = np.asarray(y), np.asarray(p)
        self.judged = Judged(kind, self.rows, y, p, p, ("team",), chosen_threshold, cost)
        self.trained = self.rows.assign(_label=y) if trained is None else trained

    def predict(self, rows: pd.DataFrame) -> Any:
        """The predictions of the rows that have these sizes: a model of `size` alone."""
        order = np.searchsorted(self.rows["size"].to_numpy(), rows["size"].to_numpy())
        return self.judged.p[order]

    @property
    def evaluation(self) -> Evaluation:
        """All of it."""
        chosen = self.judged.threshold
        threshold = None if chosen is None else Threshold(value=chosen, by="f1", rows=0)
        return assess(self.judged, self.days, self.options, self.trained, self.predict, FEATURES, threshold, ZONE)
