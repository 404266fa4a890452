"""`gate`: what a candidate must show before it is promoted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from evergreen.params.base import Duration, Section, nearest
from evergreen.params.limits import FAIRNESS, Calibration, FairnessLimit, RefitLimit, SegmentLimit, Size
from evergreen.params.prediction import Kind
from evergreen.params.scoring import WEEK

Metric = Literal["roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1",
                 "macro_roc_auc", "macro_pr_auc", "macro_precision", "macro_recall", "macro_f1",
                 "mae", "mse", "rmse", "mape", "r2", "calibration_error"]  # fmt: skip
Loss = Literal["log_loss", "brier", "mae", "mse"]

FLOORS: dict[Kind, tuple[Metric, ...]] = {
    "binary": ("roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1",
               "calibration_error"),
    "multiclass": ("log_loss", "brier", "accuracy", "macro_roc_auc", "macro_pr_auc", "macro_precision", "macro_recall",
                   "macro_f1", "calibration_error"),
    "regression": ("mae", "mse", "rmse", "mape", "r2", "calibration_error"),
}  # fmt: skip
LOSSES: dict[Kind, tuple[Loss, ...]] = {  # means over rows, the default first
    "binary": ("log_loss", "brier"),
    "multiclass": ("log_loss", "brier"),
    "regression": ("mae", "mse"),
}
# What is asked by default and was not when old decisions were made.
NEW = {"calibration": None, "segments": None, "refit": None, "swaps": False}
UNBOUNDED = ("log_loss", "mae", "mse", "rmse", "mape")  # from 0 on; r2 is at most 1, the others lie between the two


class Gate(Section):
    """A candidate's twin, trained up to the gate window, is judged on that window."""

    window: Duration = Field("28 days", validate_default=True, description="Labels known in this last span judge.")
    floor: dict[Metric, float] = Field(
        default_factory=dict, description="Worst value allowed per metric; a first model has only these to pass."
    )
    metric: Loss | None = Field(
        None,
        description="What the candidate must be better in: `log_loss` (null means it) or `brier`; of a regression "
        "`mae` (null means it) or `mse`.",
    )
    mode: Literal["superiority", "non_inferiority"] = Field(
        "superiority",
        description="What is to be shown: that the candidate is better, or that it is not worse by `margin`.",
    )
    margin: float | None = Field(
        None, gt=0, description="In the unit of `metric`, of `non_inferiority` alone: what may be lost."
    )
    confidence: float = Field(0.9, gt=0.5, lt=1, description="With which that must be shown, by resampled days.")
    swaps: bool = Field(
        True,
        description="Ask also that chance rarely does as well: the two models swapped on random days, which keeps the "
        "level whatever the tails of the days.",
    )
    resamples: int = Field(1000, ge=100, description="Number of bootstrap resamples, and of swaps.")
    seed: int = 0
    min_rows: int = Field(500, ge=1, description="Fewer rows in the window are inconclusive.")
    min_positives: int = Field(
        50, ge=1, description="Fewer rows of either class, or of any of several, are inconclusive."
    )
    min_days: int = Field(7, ge=2, description="Fewer days in the window are inconclusive.")
    every: Duration = Field(
        WEEK, validate_default=True, description="Promote at most once in this span; `0 days`: whenever it is better."
    )
    calibration: Calibration | None = Field(
        Calibration(), description="Not worse calibrated than the champion; null: not asked."
    )
    segments: SegmentLimit | None = Field(
        SegmentLimit(), description="In none of `evaluation.segments` worse than the champion; null: not asked."
    )
    fairness: dict[FairnessLimit, float] = Field(
        default_factory=dict,
        description="Limits between the groups of each column of `evaluation.sensitive`: a `_difference` is at most, a "
        "`_ratio` at least what stands here.",
    )
    fairness_min_rows: int = Field(200, ge=1, description="A group of fewer rows is named, not compared.")
    refit: RefitLimit | None = Field(
        RefitLimit(), description="The model that serves is no worse than its twin, which is judged; null: not asked."
    )
    max_size: Size | None = Field(None, gt=0, description="Of the model's file: bytes, or text such as `50 MB`.")
    max_size_ratio: float | None = Field(None, gt=0, description="At most so many times the champion's size.")
    max_latency: float | None = Field(
        None, gt=0, description="Milliseconds that one row takes, the median of up to 200 predictions of one row."
    )
    max_latency_ratio: float | None = Field(None, gt=0, description="At most so many times the champion's latency.")

    approval: Literal["automatic", "required"] = Field(
        "automatic", description="`required`: what the gate would promote waits for a person's answer."
    )
    approval_deadline: Duration = Field(
        "3 days",
        validate_default=True,
        gt=timedelta(0),
        description="Wall time from the verdict on; a later answer is refused, and without one nothing is promoted.",
    )
    approvers: tuple[str, ...] = Field(
        (), description="Ids of the Airflow users who may answer; empty: everybody whose role lets them."
    )

    @field_validator("floor")
    @classmethod
    def _within_the_scale(cls, value: dict[Metric, float]) -> dict[Metric, float]:
        for metric, least in value.items():
            if metric == "r2" and least <= 1:
                continue
            if not (0 <= least <= 1 or (metric in UNBOUNDED and least >= 1)):
                scale = "at most 1" if metric == "r2" else "at least 0" if metric in UNBOUNDED else "between 0 and 1"
                meant = f"; did you mean {least / 100:g}?" if 1 < least <= 100 and metric not in UNBOUNDED else ""
                raise ValueError(f"`{metric}` is {least:g}, and {metric} is {scale}{meant}")
        return value

    @field_validator("fairness")
    @classmethod
    def _limits_that_can_be_kept(cls, value: dict[FairnessLimit, float]) -> dict[FairnessLimit, float]:
        for name, limit in value.items():
            bounded = not name.startswith(("mae_diff", "bias_"))
            if limit < 0 or (bounded and limit > 1):
                raise ValueError(f"`{name}` is {limit:g}, and it is {'between 0 and 1' if bounded else 'at least 0'}")
        return value

    @model_validator(mode="after")
    def _margin_of_its_mode(self) -> Gate:
        if self.mode == "non_inferiority" and self.margin is None:
            raise ValueError("`mode: non_inferiority` needs `margin`: by how much may the candidate be worse?")
        if self.mode == "superiority" and self.margin is not None:
            raise ValueError("`margin` is of `mode: non_inferiority`; to be better needs none")
        return self

    @classmethod
    def recorded(cls, values: Any) -> Gate:
        """The gate of a recorded decision: what it does not name was not asked at the time."""
        return cls.model_validate({**NEW, **values} if isinstance(values, Mapping) else values)

    def metric_of(self, kind: Kind) -> Loss:
        """What a candidate of this kind must be better in."""
        return self.metric or LOSSES[kind][0]

    def require_metrics_of(self, kind: Kind) -> None:
        """Raise ValueError for a metric that predictions of this kind do not have, naming those that they have."""
        if self.metric is not None and self.metric not in LOSSES[kind]:
            raise ValueError(
                f"gate.metric: a {kind} label has no `{self.metric}` by row; {nearest(self.metric, LOSSES[kind])}"
            )
        for name in self.floor:
            if name not in FLOORS[kind]:
                meant = f"macro_{name}" if f"macro_{name}" in FLOORS[kind] else name
                raise ValueError(f"gate.floor.{name}: a {kind} label has no {name}; {nearest(meant, FLOORS[kind])}")
        for limit in self.fairness:
            if limit not in FAIRNESS[kind]:
                raise ValueError(f"gate.fairness.{limit}: a {kind} label has none; {nearest(limit, FAIRNESS[kind])}")
