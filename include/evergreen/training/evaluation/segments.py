"""Where the model is weak: every configured column level by level, and the worst pairs of their levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from evergreen.params.evaluation import Cut
from evergreen.params.evaluation import Evaluation as Options
from evergreen.params.prediction import Kind
from evergreen.training.evaluation.days import Days
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.levels import Levels, levels_of
from evergreen.training.evaluation.records import Figure, Segment, Segments

FEW_LEVELS = 30  # of a category that is looked at without being asked for
WORST = 10  # pairs
SHOWN: dict[Kind, tuple[str, ...]] = {
    "binary": ("rate", "bias", "log_loss", "roc_auc", "precision", "recall", "cost_per_1000"),
    "multiclass": ("accuracy", "majority_rate", "macro_f1", "log_loss", "macro_roc_auc"),
    "regression": ("mean", "bias", "mae", "rmse", "r2"),
}
# Log-loss is higher where outcomes are less certain, whatever the model: it does not compare segments.
RANKED_BY: dict[Kind, str] = {"binary": "roc_auc", "multiclass": "macro_roc_auc", "regression": "mae"}


def segments_of(judged: Judged, days: Days, options: Options) -> Segments:
    """Every level of the configured columns, and the worst of their pairs."""
    columns = {name: levels_of(judged.rows[name], name in judged.categorical, cut)
               for name, cut in _cuts(judged, options).items()}  # fmt: skip
    found = {name: tuple(one_column(judged, days, options, name, levels)) for name, levels in columns.items()}
    pairs = [pair for two in combinations(columns, 2) for pair in _pairs(judged, days, options, two, columns)]
    by = RANKED_BY[judged.kind]
    return Segments(
        least_rows=options.least_rows,
        by=by,
        columns=found,
        pairs=len(pairs),
        worst_pairs=_first(
            pairs, by, (lambda figure: figure.high) if by != "mae" else (lambda figure: _minus(figure.low))
        ),
        most_biased_pairs=_first(pairs, "bias", _towards_zero),
        left_out={name: levels.left_out for name, levels in columns.items() if levels.left_out},
    )


def one_column(
    judged: Judged, days: Days, options: Options, name: str, levels: Levels, shown: Sequence[str] | None = None
) -> list[Segment]:
    """Each level of a column."""
    import numpy as np

    rows = [np.flatnonzero(levels.place == place) for place in range(len(levels.names))]
    named = zip(levels.names, rows, strict=True)
    return [_segment(judged, days, options, {name: level}, chosen, shown) for level, chosen in named]


def _cuts(judged: Judged, options: Options) -> Mapping[str, Cut]:
    if options.segments is not None:
        return options.segments
    return {name: Cut() for name in judged.categorical if judged.rows[name].nunique() <= FEW_LEVELS}


def _pairs(
    judged: Judged, days: Days, options: Options, two: tuple[str, str], columns: Mapping[str, Levels]
) -> list[Segment]:
    """The pairs of two columns' levels that have rows enough to be judged."""
    import numpy as np

    first, second = columns[two[0]], columns[two[1]]
    code = np.where((first.place < 0) | (second.place < 0), -1, first.place * len(second.names) + second.place)
    order = np.argsort(code, kind="stable")
    codes, starts = np.unique(code[order], return_index=True)
    found = []
    for number, rows in zip(codes.tolist(), np.split(order, starts)[1:], strict=True):
        if number >= 0 and len(rows) >= options.least_rows:
            names = (first.names[number // len(second.names)], second.names[number % len(second.names)])
            found.append(_segment(judged, days, options, dict(zip(two, names, strict=True)), rows))
    return found


def _segment(
    judged: Judged, days: Days, options: Options, levels: dict[str, str], rows: Any, shown: Sequence[str] | None = None
) -> Segment:
    own = days.take(rows)
    metrics = {}
    if len(rows) >= options.least_rows:
        figures = own.figures(own.resample(judged.tally(own, rows)))
        metrics = {name: figures[name] for name in shown or SHOWN[judged.kind] if name in figures}
    return Segment(
        levels=levels, rows=len(rows), days=own.present, share=len(rows) / max(len(judged.y), 1), metrics=metrics
    )


def _first(segments: list[Segment], metric: str, key: Callable[[Figure], float | None]) -> tuple[Segment, ...]:
    """The segments with the lowest `key` of a metric, ties in the order given; those that have none are unranked."""
    ranked = [(key(one.metrics[metric]), place) for place, one in enumerate(segments) if metric in one.metrics]
    order = sorted((rank, place) for rank, place in ranked if rank is not None)
    return tuple(segments[place] for _, place in order[:WORST])


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _towards_zero(figure: Figure) -> float | None:
    """Minus the distance of the interval from zero; None where zero lies in it."""
    if figure.low is None or figure.high is None or figure.low <= 0 <= figure.high:
        return None
    return -min(abs(figure.low), abs(figure.high))
