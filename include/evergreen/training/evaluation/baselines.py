"""What a model is to beat: a constant, the simplest rule that a team would use, and the baseline model.

Constant and rule learn from the twin's training rows, as the twin did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.params.evaluation import Evaluation as Options
from evergreen.training.evaluation.days import Days, Resampled
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.levels import levels_of
from evergreen.training.evaluation.records import Baseline

if TYPE_CHECKING:
    import pandas as pd

BINS = 10  # of a number in a rule


@dataclass(frozen=True)
class Guess:
    """Predictions of the judged rows by something simpler, and of the rows that it learned from."""

    name: str
    text: str
    p: Any
    learned: Any | None = None


def baselines_of(
    judged: Judged, days: Days, twin: Resampled, trained: pd.DataFrame, options: Options
) -> list[Baseline]:
    """Every baseline on the judged rows; `trained` has the rule's columns and `_label` of the twin's rows."""
    found = []
    for guess in _guesses(judged, trained, options):
        threshold = _threshold(judged, guess, trained["_label"].to_numpy())
        its = days.resample(judged.tally_of(judged.y, guess.p, days, threshold, full=True))
        metrics, difference = days.figures(its), days.differences(twin, its)
        found.append(
            Baseline(name=guess.name, text=guess.text, threshold=threshold, metrics=metrics, difference=difference)
        )
    return found


def rule_columns(options: Options, categorical: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of the rule: as configured, else the first category; none where there is none."""
    return options.rule or categorical[:1]


def _guesses(judged: Judged, trained: pd.DataFrame, options: Options) -> Iterator[Guess]:
    import numpy as np

    rows, labels = len(judged.y), trained["_label"].to_numpy(dtype="float64")
    if len(labels):
        outcomes = _outcomes(judged, labels)
        base = outcomes.mean(axis=0)
        name = "mean" if judged.kind == "regression" else "constant"
        text = {"binary": "the rate of the training rows", "regression": "the mean of the training rows"}
        said = text.get(judged.kind, "the classes' shares of the training rows")
        yield _shaped(judged, name, said, np.tile(base, (rows, 1)), np.tile(base, (len(labels), 1)))
        if judged.kind == "regression":
            yield Guess("median", "the median of the training rows", np.full(rows, np.median(labels)))
        if columns := rule_columns(options, judged.categorical):
            keys, known = _keys(judged, judged.rows, trained, columns)
            means = _means(known, outcomes, base, int(max(keys.max(initial=0), known.max(initial=0))) + 1)
            yield _shaped(judged, "rule", f"the mean by {' and '.join(columns)}", means[keys], means[known])
    if judged.p_baseline is not None:
        yield Guess("model", "the baseline model", judged.p_baseline)


def _outcomes(judged: Judged, labels: Any) -> Any:
    """What a mean is taken of: (rows, 1), or (rows, classes) that are 1 where the row has the class."""
    import numpy as np

    return np.eye(judged.p.shape[1])[labels.astype("int64")] if judged.kind == "multiclass" else labels[:, None]


def _shaped(judged: Judged, name: str, text: str, p: Any, learned: Any) -> Guess:
    wide = judged.kind == "multiclass"
    return Guess(name, text, p if wide else p[:, 0], learned if wide else learned[:, 0])


def _keys(judged: Judged, rows: pd.DataFrame, trained: pd.DataFrame, columns: tuple[str, ...]) -> tuple[Any, Any]:
    """One number for each row's levels, of judged and trained rows alike; spans of numbers are the trained rows'."""
    import numpy as np
    import pandas as pd

    code = np.zeros(len(rows) + len(trained), dtype="int64")
    for name in columns:
        both = pd.concat([rows[name], trained[name]], ignore_index=True)
        if name in judged.categorical:
            place = pd.factorize(both.astype("object"), use_na_sentinel=False)[0]
        else:
            place = levels_of(both, False, _training_spans(trained[name])).place
        code = np.unique(code * (int(place.max(initial=0)) + 1) + place, return_inverse=True)[1]
    return code[: len(rows)], code[len(rows) :]


def _training_spans(values: pd.Series) -> Any:
    import numpy as np

    from evergreen.params.evaluation import Cut

    known = values.to_numpy(dtype="float64", na_value=np.nan)
    known = known[np.isfinite(known)]
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.zeros(1)
    return Cut(edges=tuple(edges.tolist()))


def _means(keys: Any, outcomes: Any, base: Any, count: int) -> Any:
    """The mean outcome of each key, with one row of the base rate added, so that few rows do not say never."""
    import numpy as np

    rows = np.bincount(keys, minlength=count)[:, None]
    sums = np.column_stack([np.bincount(keys, weights=column, minlength=count) for column in outcomes.T])
    return (sums + base) / (rows + 1)


def _threshold(judged: Judged, guess: Guess, labels: Any) -> float | None:
    """What a team would choose on the rows that the guess learned from; the baseline model's is given."""
    from evergreen.training.metrics import best_threshold, cheapest_threshold

    if judged.kind != "binary" or guess.learned is None:
        return judged.threshold if judged.baseline_threshold is None else judged.baseline_threshold
    if judged.cost:
        return cheapest_threshold(labels, guess.learned, judged.cost)
    return best_threshold(labels, guess.learned)
