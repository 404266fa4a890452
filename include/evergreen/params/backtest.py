"""`backtest`: which ways to retrain are compared on past data, and over which span."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator

from evergreen.params.base import Section, nearest
from evergreen.params.gate import Gate

NEVER = "never"  # what all others are compared with
POLICIES = (NEVER, "monthly", "sliding_3", "weekly", "triggers")
SLIDING = re.compile(r"^sliding_([1-9]\d?)$")


def _day(value: Any) -> Any:
    """A day as text: DVC reads params.yaml too, and stops at YAML's own dates."""
    example = 'write it in quotes, such as "2013-04-01"'
    if isinstance(value, date):
        raise ValueError(f"a bare date, which DVC cannot read: {example}")
    if isinstance(value, str):
        try:
            date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"not a day: {example}") from None
    return value


def _told(gate: Gate) -> dict[str, Any]:
    return gate.model_dump(mode="json", exclude_unset=True)


Day = Annotated[str, BeforeValidator(_day)]
# What it does not say is the section `gate`'s, so it is written as it was told: without defaults.
Setting = Annotated[Gate, PlainSerializer(_told, return_type=dict[str, Any])]
SettingName = Annotated[str, Field(min_length=1, max_length=40)]


class Leak(Section):
    """Figures that are too good to be true for this use case: the page warns of a leak where one is passed."""

    roc_auc: float | None = Field(None, gt=0.5, lt=1, description="ROC AUC of the whole span.")
    period_roc_auc: float | None = Field(None, gt=0.5, lt=1, description="ROC AUC of any period.")


class Backtest(Section):
    """`evergreen backtest` replays history for a set of policies; nothing else reads this section."""

    start: Day | None = Field(
        None,
        description="Local day, in quotes, on which the first model starts to serve; null: the first begin of a "
        "period before which labels span two gate windows, with `training.min_labels` of them before the last one.",
    )
    end: Day | None = Field(
        None, description="The day after the last one, in quotes; null: all rows that have a label."
    )
    policies: tuple[str, ...] = Field(
        (NEVER, "monthly", "sliding_3", "triggers"),
        description="`never` keeps the first model (always among them: the others are compared with it); `monthly` "
        "retrains on all labels known, `sliding_<n>` monthly on those of the last n months, `weekly` on all, "
        "`triggers` when a rule of the monitor alarms.",
    )
    gated: Literal["both", "only", "never"] = Field(
        "both", description="Each policy through the gate, without it (every candidate is promoted), or both."
    )
    gates: dict[SettingName, Setting] = Field(
        default_factory=dict,
        description="Gates by name, each with keys of the section `gate` in place of its own, such as `two weeks: "
        "{window: 14 days}`: every policy with a calendar is replayed with each, and a table sets them side by side.",
    )
    margin: float = Field(
        0.005,
        ge=0,
        description="A promotion that hurt, and a candidate that was missed, by more than this share of the loss of "
        "the champion before are counted apart.",
    )
    period: Literal["month", "week"] = Field("month", description="Figures are given for each of these, and in total.")
    confidence: float = Field(0.9, gt=0.5, lt=1, description="Of the intervals, two-sided.")
    resamples: int = Field(1000, ge=100, description="Number of resamples of whole days.")
    seed: int = 0
    leak: Leak = Leak()

    @field_validator("policies")
    @classmethod
    def _known_policies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(known_policy, value))


def setting_of(gate: Gate, setting: Gate) -> Gate:
    """`gate` with what `setting` says in place of its own; raises ValidationError where the two do not go together."""
    return Gate.model_validate(gate.model_dump() | setting.model_dump(exclude_unset=True))


def known_policy(name: str) -> str:
    """`name`; raises ValueError with the known ones where it is none."""
    if name in POLICIES or SLIDING.match(name):
        return name
    known = [one for one in POLICIES if not SLIDING.match(one)] + ["sliding_<n> with n months, such as sliding_3"]
    raise ValueError(f"`{name}` is not a policy of a backtest; {nearest(name, known)}")
