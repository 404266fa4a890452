"""The whole evaluation of a twin's predictions; equal inputs give equal figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evergreen.params.evaluation import Evaluation as Options
from evergreen.training.evaluation.baselines import baselines_of
from evergreen.training.evaluation.calibration import calibration_of
from evergreen.training.evaluation.costs import cost_of
from evergreen.training.evaluation.days import Days, local_days
from evergreen.training.evaluation.fairness import fairness_of
from evergreen.training.evaluation.importance import importance_of
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.records import Evaluation, Threshold
from evergreen.training.evaluation.segments import segments_of

if TYPE_CHECKING:
    import pandas as pd


def assess(
    judged: Judged,
    days: Days,
    options: Options,
    trained: pd.DataFrame,
    predict: Callable[[pd.DataFrame], Any],
    features: Sequence[str],
    threshold: Threshold | None,
    time_zone: str,
    classes: Sequence[str] = (),
) -> Evaluation:
    """Every figure of the judged rows.

    `trained` are the twin's training rows with the rule's columns and `_label`; `predict` is the twin; `threshold` says
    how the judged one was chosen; `classes` name a multiclass label's places.
    """
    from evergreen.training.metrics import PRIMARY, metrics_of

    twin = days.resample(judged.tally(days, full=True))
    # Sums by day differ from sums by row in the last digit: what metrics.json says too is said alike.
    exact = metrics_of(judged.kind, judged.y, judged.p, judged.threshold)
    metrics = days.figures(replace(twin, values=twin.values | exact))
    first, last = _ends(judged.rows["_time"], time_zone)
    sampled, importance = importance_of(judged, predict, features, options)
    return Evaluation(
        kind=judged.kind,
        rows=len(judged.y),
        first_day=first,
        last_day=last,
        days=days.total,
        confidence=options.confidence,
        resamples=options.resamples,
        primary=PRIMARY[judged.kind],
        threshold=threshold,
        metrics=metrics,
        counts=_counts(judged, classes),
        confusion=_confusion(judged, classes),
        cost=cost_of(judged, days, judged.cost, metrics["cost_per_1000"]) if judged.cost else None,
        baselines=tuple(baselines_of(judged, days, twin, trained, options)),
        calibration=calibration_of(judged, days),
        segments=segments_of(judged, days, options),
        fairness=tuple(fairness_of(judged, days, options, column) for column in options.sensitive),
        importance_rows=sampled,
        importance=importance,
    )


def _ends(times: pd.Series, time_zone: str) -> tuple[str | None, str | None]:
    import numpy as np

    if times.empty:
        return None, None
    days = local_days(times, time_zone)
    first, last = (str(np.datetime64(int(day), "D")) for day in (days.min(), days.max()))
    return first, last


def _counts(judged: Judged, classes: Sequence[str]) -> dict[str, int]:
    if judged.kind == "regression":
        return {"without mape": int((judged.y == 0).sum())}
    if judged.kind == "binary":
        return {"positives": int((judged.y == 1).sum())}
    return {name: int((judged.y == place).sum()) for place, name in enumerate(_names(judged, classes))}


def _confusion(judged: Judged, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    import numpy as np

    if judged.kind == "regression":
        return {}
    if judged.kind == "binary":
        names: tuple[str, ...] = ("negative", "positive")
        said = judged.p >= (0.5 if judged.threshold is None else judged.threshold)
    else:
        names = _names(judged, classes)
        said = np.argmax(judged.p, axis=1) if len(judged.p) else np.empty(0)
    return {
        actual: {other: int(((judged.y == row) & (said == column)).sum()) for column, other in enumerate(names)}
        for row, actual in enumerate(names)
    }


def _names(judged: Judged, classes: Sequence[str]) -> tuple[str, ...]:
    return tuple(classes) or tuple(str(place) for place in range(judged.p.shape[1]))
