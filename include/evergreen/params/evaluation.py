"""`evaluation`: what is said of a candidate's twin beside the gate's verdict."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from evergreen.params.base import Section, nearest


class Cost(Section):
    """What the two ways to be wrong cost, in any unit; right predictions cost nothing."""

    false_negative: float = Field(gt=0, description="A positive outcome that was not predicted.")
    false_positive: float = Field(gt=0, description="A predicted positive outcome that did not come.")


class Cut(Section):
    """How a column becomes segments: a category by its levels, a number by quantiles or by given edges."""

    bins: int = Field(5, ge=2, le=20, description="Groups of about equal size, of a number.")
    edges: tuple[float, ...] = Field((), description="Where to cut a number instead; each edge begins a segment.")

    @field_validator("edges")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("edges ascend, each of them once")
        return value


class Evaluation(Section):
    """The twin on the gate window: figures with intervals, costs, segments, fairness and importance."""

    cost: Cost | None = Field(
        None, description="Weights that the decision threshold is chosen by; null: the threshold of highest F1."
    )
    segments: dict[str, Cut] | None = Field(
        None, description="Features to look at segment by segment; null: the categories with at most 30 levels."
    )
    sensitive: tuple[str, ...] = Field((), description="Features between whose groups the model is to be fair.")
    rule: tuple[str, ...] = Field(
        (),
        max_length=2,
        description="One or two features whose mean outcome is the rule to beat; none: the first category.",
    )
    confidence: float = Field(0.9, gt=0.5, lt=1, description="Of every interval, two-sided.")
    resamples: int = Field(1000, ge=100, description="Day-block resamples that an interval comes from.")
    least_days: int = Field(5, ge=2, description="Fewer local days give no interval.")
    least_rows: int = Field(200, ge=1, description="A segment or group of fewer rows is counted, not judged.")
    importance_rows: int = Field(5000, ge=0, description="Rows of the permutation importance; 0 leaves it out.")
    importance_repeats: int = Field(5, ge=2, le=100, description="Permutations of each feature.")
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _empty_cuts(cls, value: Any) -> Any:
        """`column:` with nothing after it is a cut with its defaults."""
        segments = value.get("segments") if isinstance(value, dict) else None
        if not isinstance(segments, dict) or None not in segments.values():
            return value
        return {**value, "segments": {name: {} if cut is None else cut for name, cut in segments.items()}}

    def require_features(self, known: list[str], categorical: tuple[str, ...]) -> None:
        """Raise ValueError for a column that is no feature, and for edges of a category."""
        wanted = {"segments": tuple(self.segments or {}), "sensitive": self.sensitive, "rule": self.rule}
        for key, names in wanted.items():
            for name in names:
                if name not in known:
                    raise ValueError(f"evaluation.{key} names `{name}`, which the model does not see; "
                                     f"{nearest(name, known)}")  # fmt: skip
        for name, cut in (self.segments or {}).items():
            if cut.edges and name in categorical:
                raise ValueError(f"evaluation.segments.{name}: a category has levels and is not cut by edges")
