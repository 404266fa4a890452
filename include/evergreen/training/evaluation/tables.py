"""The evaluation as small tables, one a plot; equal evaluations give equal ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from evergreen.training.evaluation.costs import cost_curve
from evergreen.training.evaluation.days import Days
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.records import Evaluation, Figure

Columns = dict[str, Sequence[Any]]
ENDS = ("value", "low", "high")


def tables_of(judged: Judged, days: Days, evaluation: Evaluation) -> dict[str, Columns]:
    """Calibration, metrics beside the baselines', segments, fairness and importance; a binary model's cost."""
    tables: dict[str, Columns] = {
        "calibration": _calibration(evaluation),
        "metrics": _metrics(evaluation),
        "segments": _segments(evaluation),
        "fairness": _fairness(evaluation),
        "importance": {
            "feature": [one.feature for one in evaluation.importance],
            "drop": [one.drop for one in evaluation.importance],
            "spread": [one.spread for one in evaluation.importance],
        },
    }
    if evaluation.kind == "binary":
        tables["cost"] = _cost(judged, days, evaluation)
    if evaluation.kind == "multiclass":
        tables["confusion"] = _confusion(evaluation)
    return tables


def _calibration(evaluation: Evaluation) -> Columns:
    bins = evaluation.calibration
    return {
        "mean_p": [one.predicted for one in bins],
        "rate": [one.actual.value for one in bins],
        "rows": [one.rows for one in bins],
        "low": [one.actual.low for one in bins],
        "high": [one.actual.high for one in bins],
    }


def _metrics(evaluation: Evaluation) -> Columns:
    whose = [("twin", evaluation.metrics)] + [(one.name, one.metrics) for one in evaluation.baselines]
    rows = [
        (name, who, *_ends(figures[name])) for name in evaluation.metrics for who, figures in whose if name in figures
    ]
    return _columns(("metric", "model", *ENDS), rows)


def _segments(evaluation: Evaluation) -> Columns:
    """The metric that ranks segments: of all rows first, then of each segment and of the worst pairs."""
    found, by = evaluation.segments, evaluation.segments.by
    rows: list[tuple[Any, ...]] = [("all", "all rows", by, evaluation.rows, *_ends(evaluation.metrics[by]))]
    for column, segments in [*found.columns.items(), ("worst pairs", found.worst_pairs)]:
        rows += [(column, one.name, by, one.rows, *_ends(one.metrics[by])) for one in segments if by in one.metrics]
    return _columns(("column", "segment", "metric", "rows", *ENDS), rows)


def _fairness(evaluation: Evaluation) -> Columns:
    rows = [
        (fair.column, group.levels[fair.column], name, group.rows, *_ends(figure))
        for fair in evaluation.fairness
        for group in fair.groups
        for name, figure in group.metrics.items()
    ]
    return _columns(("column", "group", "metric", "rows", *ENDS), rows)


def _cost(judged: Judged, days: Days, evaluation: Evaluation) -> Columns:
    curve, cost, threshold = cost_curve(judged, days, judged.cost), evaluation.cost, evaluation.threshold
    beside = {
        "never": cost and cost.never.value,
        "always": cost and cost.always.value,
        "chosen": threshold and threshold.value,
    }
    return {**curve, **{name: [value] * len(curve["threshold"]) for name, value in beside.items()}}


def _confusion(evaluation: Evaluation) -> Columns:
    rows = [
        (f"{actual} as {said}", count, actual, said)
        for actual, line in evaluation.confusion.items()
        for said, count in line.items()
    ]
    return _columns(("cell", "rows", "actual", "predicted"), rows)


def _ends(figure: Figure) -> tuple[float | None, float | None, float | None]:
    return figure.value, figure.low, figure.high


def _columns(names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Columns:
    lines = list(rows)
    return {name: [line[place] for line in lines] for place, name in enumerate(names)}
