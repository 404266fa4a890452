"""What a binary model's mistakes cost at its threshold, at any other, and beside saying always the same."""

from __future__ import annotations

from typing import Any

from evergreen.params.evaluation import Cost as Weights
from evergreen.training.evaluation.binary import Binary
from evergreen.training.evaluation.days import Days
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.records import Cost, Figure

STEPS = 100  # of the curve's thresholds, from 0 to 1


def cost_of(judged: Judged, days: Days, weights: Weights, per_1000: Figure) -> Cost:
    """The cost at the chosen threshold, which is `per_1000`, beside what it is to be compared with."""
    import numpy as np

    even = weights.false_positive / (weights.false_positive + weights.false_negative)

    def at(p: Any, threshold: float) -> Figure:
        return days.figures(days.resample(Binary.of(judged.y, p, threshold, days, weights)))["cost_per_1000"]

    nothing, everything = np.zeros(len(judged.y)), np.ones(len(judged.y))
    return Cost(
        false_negative=weights.false_negative, false_positive=weights.false_positive, per_1000=per_1000,
        never=at(nothing, 0.5), always=at(everything, 0.5), weights_threshold=even,
        at_weights_threshold=at(judged.p, even),
    )  # fmt: skip


def cost_curve(judged: Judged, days: Days, weights: Weights | None) -> dict[str, list[Any]]:
    """The cost by threshold, and how it ranges over the resampled days; no points where there are no weights."""
    import numpy as np

    from evergreen.training.metrics import probabilities

    found: dict[str, list[Any]] = {"threshold": [], "cost_per_1000": [], "low": [], "high": []}
    if weights is None or not len(judged.y) or not probabilities(judged.p):
        return found
    rows = days.sums(np.ones(len(judged.y)))
    for step in range(STEPS + 1):
        said, true = judged.p >= step / STEPS, judged.y == 1
        wrong = days.sums(weights.false_negative * (~said & true) + weights.false_positive * (said & ~true))
        figure = days.figure(1000 * wrong.sum() / rows.sum(), 1000 * (days.drawn @ wrong) / (days.drawn @ rows))
        for name, value in zip(found, (step / STEPS, figure.value, figure.low, figure.high), strict=True):
            found[name].append(value)
    return found
