"""What a backtest found: frozen, sound JSON (null: not defined), without a wall time: equal runs give equal bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from evergreen.monitoring.records import Number
from evergreen.params.backtest import NEVER, Backtest
from evergreen.params.evaluation import Cost


class Frozen(BaseModel):
    """Immutable, and strict: it is read by the code that wrote it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Frozen):
    """A value with its interval; what the rows do not define is null, as an interval of fewer than two days is."""

    value: Number
    low: Number
    high: Number

    def side(self, lower_is_better: bool) -> Literal["better", "worse", ""]:
        """What a difference shows beyond chance: nothing where its interval holds 0, or is not defined."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return ""
        return "better" if (self.high < 0) == lower_is_better else "worse"


class Figures(Frozen):
    """A policy in one period, or in total, by measure."""

    rows: int
    positives: int | None  # of a binary label
    days: int
    measures: dict[str, Figure]
    against_never: dict[str, Figure]  # this policy minus `never`, on the same rows and the same drawn days


class Following(Frozen):
    """A candidate against the champion that it met, on the rows from its moment until the policy looks again.

    `loss` is the candidate's loss minus the champion's, in `gate.metric`: above 0 the candidate is worse.
    """

    until: AwareDatetime
    rows: int
    loss: Figure
    champion: float  # the champion's own loss


class Retrain(Frozen):
    """One retrain: what asked for it, what was said of its candidate, and whether that was right."""

    as_of: AwareDatetime
    because: str
    rows: int  # that the candidate learned from
    verdict: Literal["promote", "reject", "inconclusive"] | None  # None: nobody was asked
    reason: str
    promoted: bool
    failed: bool = False  # no candidate came of it, for `reason`; the champion goes on serving
    following: Following | None  # None: no row has a label there, or no candidate came of it

    @classmethod
    def failed_as(cls, as_of: datetime, because: str, reason: str) -> Self:
        """A retrain that ended without a candidate."""
        return cls(
            as_of=as_of, because=because, rows=0, verdict=None, reason=reason, promoted=False, failed=True,
            following=None,
        )  # fmt: skip

    @property
    def hurt(self) -> bool:
        """Whether a promotion made things worse, by however little."""
        return self.promoted and self.loss > 0

    @property
    def missed(self) -> bool:
        """Whether a candidate that was kept out would have been better."""
        return not self.promoted and self.loss < 0

    @property
    def shown(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        if self.following is None or self.following.loss.low is None or self.following.loss.high is None:
            return False
        return self.following.loss.low > 0 or self.following.loss.high < 0

    def by_more_than(self, share: float) -> bool:
        """Whether candidate and champion differ by more than this share of the champion's loss."""
        return self.following is not None and abs(self.loss) > share * self.following.champion

    @property
    def loss(self) -> float:
        """The candidate's loss minus the champion's on the rows that followed; 0 where that is not defined."""
        value = self.following.loss.value if self.following else None
        return 0.0 if value is None else value


class Counts(Frozen):
    """How often; `*_shown` are those whose interval leaves out 0, `*_much` those by more than `backtest.margin`."""

    retrains: int
    failed: int  # of the retrains: no candidate came of them
    promoted: int
    hurt: int
    hurt_shown: int
    hurt_much: int
    missed: int
    missed_shown: int
    missed_much: int


class PolicyResult(Frozen):
    """One policy over the whole span."""

    name: str
    gated: bool
    gate: str | None = None  # of backtest.gates; None: the section `gate`
    title: str
    counts: Counts
    total: Figures
    periods: dict[str, Figures]
    retrains: tuple[Retrain, ...]
    first: str  # what the gate says of the first model, which serves whatever it says
    alarms: tuple[AwareDatetime, ...]  # ends of the windows in which a rule alarmed
    unknown_windows: int  # in which some rule could not be answered, and none alarmed
    immature_windows: int

    @property
    def retrain_never(self) -> bool:
        """Whether this is the policy that the others are compared with."""
        return self.name == NEVER


class MeasureInfo(Frozen):
    """A measure as tables show it."""

    title: str
    lower_is_better: bool
    digits: int


class BacktestResult(Frozen):
    """The content of backtest.json."""

    name: str
    start: AwareDatetime
    end: AwareDatetime
    time_zone: str
    snapshot: str
    rows: int
    positives: int | None
    periods: dict[str, tuple[AwareDatetime, AwareDatetime]]
    corrected: int
    settings: Backtest
    cost: Cost | None
    gate_metric: str
    measures: dict[str, MeasureInfo]
    policies: tuple[PolicyResult, ...]
    gates: tuple[PolicyResult, ...] = ()  # those of backtest.gates, in total only
    suspicions: tuple[str, ...]
    notes: tuple[str, ...]
