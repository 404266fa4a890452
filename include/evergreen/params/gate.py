"""`gate`: what a candidate must show before it is promoted."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, field_validator

from evergreen.params.base import Duration, Section, nearest
from evergreen.params.prediction import Kind
from evergreen.params.scoring import WEEK

Metric = Literal["roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1",
                 "macro_roc_auc", "macro_pr_auc", "macro_precision", "macro_recall", "macro_f1",
                 "mae", "mse", "rmse", "mape", "r2"]  # fmt: skip
Loss = Literal["log_loss", "brier", "mae", "mse"]

FLOORS: dict[Kind, tuple[Metric, ...]] = {
    "binary": ("roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "precision", "recall", "f1"),
    "multiclass": ("log_loss", "brier", "accuracy", "macro_roc_auc", "macro_pr_auc", "macro_precision", "macro_recall",
                   "macro_f1"),
    "regression": ("mae", "mse", "rmse", "mape", "r2"),
}  # fmt: skip
LOSSES: dict[Kind, tuple[Loss, ...]] = {  # means over rows, the default first
    "binary": ("log_loss", "brier"),
    "multiclass": ("log_loss", "brier"),
    "regression": ("mae", "mse"),
}
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
    confidence: float = Field(0.9, gt=0.5, lt=1, description="Share of day-block resamples in which it must be better.")
    resamples: int = Field(1000, ge=100, description="Number of bootstrap resamples.")
    seed: int = 0
    min_rows: int = Field(500, ge=1, description="Fewer rows in the window are inconclusive.")
    min_positives: int = Field(
        50, ge=1, description="Fewer rows of either class, or of any of several, are inconclusive."
    )
    min_days: int = Field(7, ge=2, description="Fewer days in the window are inconclusive.")
    every: Duration = Field(WEEK, validate_default=True, description="Promote at most once in this span.")

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
