"""Permutation importance on judged rows: what the model loses where one feature's values are shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evergreen.params.evaluation import Evaluation as Options
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.records import Importance

if TYPE_CHECKING:
    import pandas as pd


def importance_of(
    judged: Judged, predict: Callable[[pd.DataFrame], Any], features: Sequence[str], options: Options
) -> tuple[int, tuple[Importance, ...]]:
    """The rows sampled, and the features by the mean rise of the primary metric, the most important first.

    Features that say the same hide each other: shuffling one leaves the other.
    """
    import numpy as np

    random = np.random.default_rng(options.seed)
    count = min(options.importance_rows, len(judged.y))
    if not count:
        return 0, ()
    chosen = np.sort(random.choice(len(judged.y), count, replace=False))
    rows, y = judged.rows.iloc[chosen].reset_index(drop=True), judged.y[chosen]
    before = _loss(judged, y, judged.p[chosen])
    found = []
    for feature in features:
        losses = []
        for _ in range(options.importance_repeats):
            shuffled = rows.assign(**{feature: rows[feature].to_numpy()[random.permutation(count)]})
            losses.append(_loss(judged, y, predict(shuffled)) - before)
        found.append(Importance(feature=feature, drop=float(np.mean(losses)), spread=float(np.std(losses, ddof=1))))
    return count, tuple(sorted(found, key=lambda one: (-(one.drop if one.drop is not None else -np.inf), one.feature)))


def _loss(judged: Judged, y: Any, p: Any) -> float:
    """The primary metric, which is lower for a better model of any kind."""
    import numpy as np

    from evergreen.training.metrics import class_log_losses, log_losses, probabilities

    if judged.kind == "regression":
        return float(np.abs(p - y).mean())
    if not probabilities(p):
        return float("nan")
    return float((log_losses(y, p) if judged.kind == "binary" else class_log_losses(y, p)).mean())
