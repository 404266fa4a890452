"""How alike a model treats the groups of a sensitive column: Fairlearn's metric frame, with intervals by day."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from evergreen.params.evaluation import Evaluation as Options
from evergreen.params.prediction import Kind
from evergreen.training.evaluation.days import Days
from evergreen.training.evaluation.days import ratio as divided
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.levels import levels_of
from evergreen.training.evaluation.records import Fairness, Figure
from evergreen.training.evaluation.segments import one_column

SHOWN: dict[Kind, tuple[str, ...]] = {
    "binary": ("selection_rate", "recall", "false_positive_rate", "precision", "accuracy", "rate"),
    "multiclass": ("accuracy", "macro_f1", "macro_recall"),
    "regression": ("mae", "bias", "mean"),
}
SIGNED = ("bias", "mean")  # a ratio of what can have either sign says nothing


def fairness_of(judged: Judged, days: Days, options: Options, column: str) -> Fairness:
    """The groups of one sensitive column that have rows enough, and how far apart they are.

    For a binary model the difference of `selection_rate` is demographic parity's, and `equalized_odds` is the larger
    of the differences of the true positive rate (`recall`) and the false positive rate. Two groups are the farthest
    apart of many by chance too: intervals allow for every pair that could have been.
    """
    import numpy as np

    levels = levels_of(judged.rows[column], column in judged.categorical)
    shown = SHOWN[judged.kind]
    groups = one_column(judged, days, options, column, levels, shown)
    compared = [place for place, group in enumerate(groups) if group.metrics]
    difference: dict[str, Figure] = {}
    ratio: dict[str, Figure] = {}
    if len(compared) > 1:
        rows = np.flatnonzero(np.isin(levels.place, compared))
        apart, share, ends = _frame(judged, rows, levels.place[rows])
        own = _of_all_pairs(days.take(rows), len(compared))
        resampled = {place: _resampled(judged, days, np.flatnonzero(levels.place == place)) for place in compared}
        for name in shown:
            low, high = (resampled[place][name] for place in ends[name])
            difference[name] = own.figure(apart[name], high - low)
            if name not in SIGNED:
                ratio[name] = own.figure(share[name], divided(low, high))
        if judged.kind == "binary":
            difference["equalized_odds"] = _larger(difference["recall"], difference["false_positive_rate"])
    return Fairness(column=column, groups=tuple(groups), difference=difference, ratio=ratio)


def _of_all_pairs(days: Days, groups: int) -> Days:
    """Days whose intervals hold for all pairs of groups at once, by Bonferroni's inequality."""
    return replace(days, confidence=1 - (1 - days.confidence) / math.comb(groups, 2))


def _frame(judged: Judged, rows: Any, groups: Any) -> tuple[dict[str, float], dict[str, float], dict[str, Any]]:
    """Differences and ratios between groups by Fairlearn, and which two groups are the farthest apart, low and high.

    NaN where a group does not define the metric: what cannot be compared is not alike.
    """
    from fairlearn.metrics import MetricFrame

    p, y = judged.p[rows], judged.y[rows]
    names = SHOWN[judged.kind]
    # A frame hands over labels and predictions of one column: the metrics find a row's by its number.
    frame = MetricFrame(
        metrics={name: _metric(judged, name, p) for name in names},
        y_true=y,
        y_pred=range(len(y)),
        sensitive_features=groups,
    )
    by_group = frame.by_group
    apart, share = frame.difference(), frame.ratio()
    defined = [name for name in names if not by_group[name].isna().any()]
    nothing = dict.fromkeys(names, float("nan"))
    ends = {name: (by_group.index[by_group[name].fillna(0).argmin()], by_group.index[by_group[name].fillna(0).argmax()])
            for name in names}  # fmt: skip
    return (
        nothing | {name: float(apart[name]) for name in defined},
        nothing | {name: float(share[name]) for name in defined},
        ends,
    )


def _metric(judged: Judged, name: str, p: Any) -> Callable[[Any, Any], float]:
    import numpy as np

    def metric(y: Any, rows: Any) -> float:
        one_day = Days.one(len(y))
        said = p[np.asarray(rows)]
        return one_day.values(judged.tally_of(np.asarray(y), said, one_day, judged.threshold))[name]

    return metric


def _resampled(judged: Judged, days: Days, rows: Any) -> dict[str, Any]:
    own = days.take(rows)
    return judged.tally(own, rows).at(own.drawn)


def _larger(one: Figure, other: Figure) -> Figure:
    """The larger of two differences; undefined where either is."""
    if one.value is None or other.value is None:
        return Figure(value=None)
    return one if one.value >= other.value else other
