"""`monitoring`: the rules that watch the champion, and the drift report beside them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from evergreen.params.base import Duration, Section, nearest
from evergreen.params.scoring import WEEK

# Evidently's own names, which it would first look up in a monitor run; tests/params/test_load.py asks it for its list.
BOTH_METHODS = ("hellinger", "jensenshannon", "kl_div", "psi")
NUMERIC_METHODS = ("wasserstein", "ks", "anderson", "cramer_von_mises", "ed", "empirical_mmd", "es", "mannw", "t_test",
                   *BOTH_METHODS)  # fmt: skip
CATEGORICAL_METHODS = ("chisquare", "fisher_exact", "g_test", "TVD", "z", *BOTH_METHODS)


class BiasRule(Section):
    """Alarm: |mean prediction - rate of the label| above what the reference's weekly biases allow at `sigmas`.

    Of a regression it is the mean outcome in its place, in the outcome's own unit; of several classes the worst counts.
    """

    kind: Literal["bias"]
    sigmas: float = Field(3.0, gt=0)


class SkillRule(Section):
    """Alarm: the skill is below `least`: by log-loss against the window's own rates, of a regression by squared error
    against its own mean."""

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

    @field_validator("numeric")
    @classmethod
    def _is_numeric(cls, value: str) -> str:
        return _known_method(value, NUMERIC_METHODS, "numeric columns")

    @field_validator("categorical")
    @classmethod
    def _is_categorical(cls, value: str) -> str:
        return _known_method(value, CATEGORICAL_METHODS, "categorical columns")

    def require_methods_fit(self, categorical: Sequence[str]) -> None:
        """Raise ValueError where `methods` gives a column a method that is none for its kind."""
        for name, method in self.methods.items():
            is_category = name in categorical
            known = CATEGORICAL_METHODS if is_category else NUMERIC_METHODS
            kind = f"`{name}`, which is {'a category' if is_category else 'numeric'}"
            _known_method(method, known, kind, f"monitoring.drift.methods: `{name}` is `{method}`, ")


def _known_method(value: str, known: Sequence[str], what: str, place: str = "") -> str:
    if value not in known:
        raise ValueError(f"{place}not a drift method of Evidently for {what}; {nearest(value, known)}")
    return value


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
