"""What a verdict is made from, and what it is: rows, facts, rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from evergreen.params.prediction import Kind

if TYPE_CHECKING:
    import numpy as np

    from evergreen.training.evaluation.levels import Levels


@dataclass(frozen=True)
class Evidence:
    """The rows of the gate window, one element a row; shapes (n,), of a multiclass label's predictions (n, classes)."""

    label: np.ndarray  # float64: 0 or 1, the place of a class, or a value; NaN where missing
    candidate: np.ndarray  # float64: what the candidate's twin says
    champion: np.ndarray | None  # by the champion, on the same rows; None where nothing can be compared
    day: np.ndarray  # int64: the local day of the prediction, counted from 1970-01-01
    known_at: np.ndarray  # datetime64[us], UTC: when the label became what it is
    first_known_at: np.ndarray  # datetime64[us], UTC: when the row's first label was known, as it is or another
    refit: np.ndarray | None = None  # by the model that serves, which has learned from these rows; None: it is the twin
    segments: Mapping[str, Levels] = field(default_factory=dict)  # of each column that is looked at by segment
    sensitive: Mapping[str, Levels] = field(default_factory=dict)  # of each column between whose groups it is fair


class Latency(BaseModel):
    """How long one row took a model, in milliseconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    median: float
    p95: float
    predictions: int


class Facts(BaseModel):
    """What the gate knows besides the rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: AwareDatetime
    time_zone: str
    kind: Kind = "binary"
    classes: tuple[str, ...] = ()  # of a multiclass label, in the order of predictions
    build: str
    candidate_sha256: str  # of the twin that is judged
    candidate_cutoff: AwareDatetime  # it learned from labels known up to here: the gate window's start
    window_end: AwareDatetime
    threshold: float | None  # for a binary label's precision, recall and F1
    champion_build: str | None = None  # None: this is the first model
    champion_model: Literal["model", "twin"] | None = None  # which of the champion's two is compared
    champion_sha256: str | None = None
    champion_cutoff: AwareDatetime | None = None
    incomparable: str | None = None  # why the champion cannot be judged on these rows
    last_promotion: AwareDatetime | None = None
    # Of the models that serve. None: the decision is from before they were recorded, or there is no champion.
    model_sha256: str | None = None
    champion_model_sha256: str | None = None
    twin_rows: int | None = None  # that the candidate's twin learned from, as its build recorded it
    twin_rows_known: int | None = None  # that were known by its cut-off, as the gate counts them
    size: int | None = None  # bytes
    champion_size: int | None = None
    latency: Latency | None = None
    champion_latency: Latency | None = None


class Rule(BaseModel):
    """One rule's outcome: `passed` is None where it cannot be judged."""

    model_config = ConfigDict(frozen=True)

    rule: str
    passed: bool | None
    text: str
    numbers: dict[str, Any] = {}


class Verdict(BaseModel):
    """The verdict, why, and every rule with its numbers."""

    model_config = ConfigDict(frozen=True)

    verdict: Literal["promote", "reject", "inconclusive"]
    reason: str
    rules: tuple[Rule, ...]
    metrics: dict[str, dict[str, float | None]] = {}  # of the candidate and, where there is one, of the champion
