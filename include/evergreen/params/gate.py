"""`gate`: what a candidate must show before it is promoted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from evergreen.params.base import Duration, Section
from evergreen.params.scoring import WEEK

Metric = Literal["roc_auc", "pr_auc", "log_loss", "brier", "precision", "recall", "f1"]
UNBOUNDED = ("log_loss",)  # the others lie between 0 and 1


class Gate(Section):
    """A candidate's twin, trained up to the gate window, is judged on that window."""

    window: Duration = Field("28 days", validate_default=True, description="Labels known in this last span judge.")
    floor: dict[Metric, float] = Field(
        default_factory=dict, description="Worst value allowed per metric; a first model has only these to pass."
    )
    metric: Literal["log_loss", "brier"] = Field("log_loss", description="What the candidate must be better in.")
    confidence: float = Field(0.9, gt=0.5, lt=1, description="Share of day-block resamples in which it must be better.")
    resamples: int = Field(1000, ge=100, description="Number of bootstrap resamples.")
    seed: int = 0
    min_rows: int = Field(500, ge=1, description="Fewer rows in the window are inconclusive.")
    min_positives: int = Field(50, ge=1, description="Fewer rows of either class are inconclusive.")
    min_days: int = Field(7, ge=2, description="Fewer days in the window are inconclusive.")
    every: Duration = Field(WEEK, validate_default=True, description="Promote at most once in this span.")

    @field_validator("floor")
    @classmethod
    def _within_the_scale(cls, value: dict[Metric, float]) -> dict[Metric, float]:
        for metric, least in value.items():
            if not (0 <= least <= 1 or (metric in UNBOUNDED and least >= 1)):
                scale = "at least 0" if metric in UNBOUNDED else "between 0 and 1"
                meant = f"; did you mean {least / 100:g}?" if 1 < least <= 100 and metric not in UNBOUNDED else ""
                raise ValueError(f"`{metric}` is {least:g}, and {metric} is {scale}{meant}")
        return value
