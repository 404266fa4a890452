"""build/evaluation.json: a candidate's twin on rows that it has not learned from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from evergreen.errors import EvergreenError
from evergreen.files import read_json, write_atomic
from evergreen.params.prediction import Kind


def _null(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


# What is not defined is null: NaN and infinities are no JSON, and would win comparisons.
Finite = Annotated[float | None, BeforeValidator(_null)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Record):
    """A value with its interval, from resampled days; both ends are null where the days are too few to say."""

    value: Finite
    low: Finite = None
    high: Finite = None


Figures = dict[str, Figure]


class Threshold(_Record):
    """Predictions at or above `value` say yes."""

    value: float
    by: str  # what it is best in
    rows: int  # that it was chosen on, none of them judged here


class Cost(_Record):
    """Per 1,000 rows, in the unit of the weights."""

    false_negative: float
    false_positive: float
    per_1000: Figure
    never: Figure  # nothing is ever predicted positive
    always: Figure
    # Where probabilities are right, the cheapest threshold is false_positive / (false_positive + false_negative).
    weights_threshold: float
    at_weights_threshold: Figure


class Baseline(_Record):
    """What the twin is to beat, on the same rows."""

    name: str
    text: str
    threshold: float | None
    metrics: Figures
    difference: Figures  # the twin's minus the baseline's, the same days resampled for both


class Bin(_Record):
    """Rows with neighbouring predictions; of a multiclass model, by the probability of the class that it names."""

    predicted: float
    actual: Figure
    rows: int


class Segment(_Record):
    """The rows where each column has the level named; no metrics where they are too few."""

    levels: dict[str, str]
    rows: int
    days: int
    share: float
    metrics: Figures

    @property
    def name(self) -> str:
        """`team=red, hour=9 to 12`."""
        return ", ".join(f"{column}={level}" for column, level in self.levels.items())


class Segments(_Record):
    """Every configured column, and the worst of their pairs.

    Pairs are ranked by the end of the interval that speaks for the model, so that none is worst by noise alone.
    """

    least_rows: int
    by: str  # the metric that ranks pairs
    columns: dict[str, tuple[Segment, ...]]
    pairs: int  # that were judged
    worst_pairs: tuple[Segment, ...]
    most_biased_pairs: tuple[Segment, ...]
    left_out: dict[str, int]  # levels beyond the most frequent, by column


class Fairness(_Record):
    """One sensitive column: its groups, and how far apart the farthest two are (Fairlearn's metric frame)."""

    column: str
    groups: tuple[Segment, ...]  # those without metrics are not compared
    difference: Figures  # largest minus smallest
    ratio: Figures  # smallest through largest


class Importance(_Record):
    """How much worse the primary metric becomes where the feature's values are shuffled among the rows."""

    feature: str
    drop: Finite  # mean over the repeats
    spread: Finite  # standard deviation over the repeats


class Evaluation(_Record):
    """All of it. Metrics are named as in training.metrics, or say themselves what they are."""

    kind: Kind
    rows: int
    first_day: str | None
    last_day: str | None
    days: int
    confidence: float
    resamples: int
    primary: str
    threshold: Threshold | None
    metrics: Figures
    counts: dict[str, int]  # of rows: positives, of each class, or left out of a metric
    confusion: dict[str, dict[str, int]]  # rows by actual and predicted outcome
    cost: Cost | None
    baselines: tuple[Baseline, ...]
    calibration: tuple[Bin, ...]
    segments: Segments
    fairness: tuple[Fairness, ...]
    importance_rows: int
    importance: tuple[Importance, ...]

    @classmethod
    def read(cls, path: Path) -> Evaluation:
        """Read an evaluation.json; raise EvergreenError where there is none."""
        try:
            return read_json(cls, path, "run `dvc repro`, or `evergreen evaluate`", EvergreenError)
        except FileNotFoundError:
            raise EvergreenError(f"{path} is missing; run `dvc repro`, or `evergreen evaluate` first") from None

    def write(self, path: Path) -> None:
        """Write it atomically."""
        write_atomic(path, self.model_dump_json(indent=1) + "\n")

    def headlines(self) -> Iterator[tuple[str, float]]:
        """The figures that a list of runs shows, by a flat name; those that are not defined are left out."""
        named: list[tuple[str, Figure]] = list(self.metrics.items())
        if self.cost:
            named += [("cost_per_1000", self.cost.per_1000), ("cost_per_1000.never", self.cost.never)]
            named += [("cost_per_1000.always", self.cost.always)]
        for baseline in self.baselines:
            place = f"baselines.{baseline.name}"
            named += [(f"{place}.{self.primary}", baseline.metrics[self.primary])]
            named += [(f"{place}.{self.primary}.difference", baseline.difference[self.primary])]
        for fair in self.fairness:
            named += [(f"fairness.{fair.column}.{name}.difference", figure) for name, figure in fair.difference.items()]
        for name, figure in named:
            ends = (("", figure.value), (".low", figure.low), (".high", figure.high))
            yield from ((name + end, value) for end, value in ends if value is not None)
