"""`monitoring`: the rules that watch the champion, and the drift report beside them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from evergreen.params.base import Duration, Section
from evergreen.params.scoring import WEEK


class BiasRule(Section):
    """Alarm: |mean prediction - rate of the label| above what the reference's weekly biases allow at `sigmas`."""

    kind: Literal["bias"]
    sigmas: float = Field(3.0, gt=0)


class SkillRule(Section):
    """Alarm: the log-loss skill against the window's own rate is below `least`."""

    kind: Literal["skill"]
    least: float = 0.0


class EwmaRule(Section):
    """Alarm: the exponentially weighted bias leaves what the reference allows at `sigmas`, for its `weight`."""

    kind: Literal["ewma"]
    sigmas: float = Field(3.0, gt=0)
    weight: float = Field(0.4, gt=0, le=1)


class DriftRule(Section):
    """Alarm: the share of drifted columns is above `share`. Off by default: season alone trips it."""

    kind: Literal["drift"]
    share: float = Field(gt=0, lt=1)


Rule = Annotated[BiasRule | SkillRule | EwmaRule | DriftRule, Field(discriminator="kind")]


def _default_rules() -> dict[str, Rule]:
    return {"bias": BiasRule(kind="bias"), "skill": SkillRule(kind="skill"), "ewma": EwmaRule(kind="ewma")}


class Drift(Section):
    """The Evidently report of the window's inputs against the champion's training window."""

    numeric: str = Field("wasserstein", description="Evidently's method for numeric columns.")
    categorical: str = Field("jensenshannon", description="Evidently's method for categorical columns.")
    threshold: float = Field(0.1, gt=0, description="Distance above which a column counts as drifted.")
    methods: dict[str, str] = Field(default_factory=dict, description="Method of single columns.")
    columns: tuple[str, ...] | None = Field(None, description="Columns shown; null: all features.")
    max_rows: int = Field(50_000, ge=100, le=50_000, description="Rows sampled from either side.")


class Monitoring(Section):
    """One record a window, the rules over the records since the last promotion, and a drift report."""

    window: Duration = Field(WEEK, validate_default=True, description="Labels known in this last span are judged.")
    min_rows: int = Field(500, ge=1, description="Fewer labelled predictions are `immature`, and no rule is asked.")
    min_days: int | None = Field(
        None,
        ge=0,
        description="So are fewer local days with labelled predictions; null: every whole day of the window.",
    )
    rules: dict[str, Rule] = Field(
        default_factory=_default_rules,
        description="Rules by name, in place of the default ones; any that alarms raises a retrain request.",
    )
    drift: Drift = Drift()

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        held = self.window // timedelta(days=1)
        if self.min_days is not None and self.min_days > held:
            raise ValueError(f"`min_days` is {self.min_days}, and `window` holds {held} whole days: no window would do")
        return self
