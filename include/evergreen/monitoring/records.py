"""What the monitor says of one window of one champion, and what a rule says of it: frozen, and sound JSON."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict

from evergreen.params.prediction import Kind


def _finite(value: Any) -> Any:
    """JSON has no NaN, and a number that is not finite is not known."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]


class Frozen(BaseModel):
    """Immutable, and read as other versions wrote it: unknown keys pass, and what was added later has a default.

    Stored records outlive the code that wrote them, so what is added here needs a default.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class ClassShare(Frozen):
    """One class of a multiclass label: how often it came, and how often it was said to come."""

    rate: Number
    mean_p: Number
    bias: Number  # mean_p - rate


class Performance(Frozen):
    """Predictions against their labels. None: cannot be said (no rows, one class only), or not of this kind."""

    kind: Kind = "binary"
    rows: int
    positives: int | None
    rate: Number  # share of positives; of a regression the mean outcome
    mean_p: Number  # the mean prediction
    bias: Number  # mean_p - rate: above 0 the model warns too much; of several classes the one that is furthest off
    log_loss: Number
    skill: Number  # 1 - log_loss / entropy of the rows' own rates (of a regression mean square error / variance of the
    # rows' own outcomes): 0 is as good as knowing the rate, or the mean, alone
    brier: Number
    roc_auc: Number
    accuracy: Number = None
    mae: Number = None
    rmse: Number = None
    classes: dict[str, ClassShare] = {}


class Drift(Frozen):
    """The drift of the window's inputs against the champion's training rows."""

    share: Number  # of the columns compared; None: nothing could be compared
    columns: dict[str, bool] = {}  # column: did it drift
    scores: dict[str, Number] = {}  # column: the method's distance, or its p-value
    methods: dict[str, str] = {}
    left_out: dict[str, str] = {}  # column: why
    rows: dict[str, int] = {}  # current and reference, after sampling
    note: str = ""


class RuleResult(Frozen):
    """One rule's answer. `alarm` None is unknown, which is never healthy."""

    name: str
    kind: str
    value: Number
    limit: Number
    alarm: bool | None
    text: str


class Reference(Frozen):
    """How much the champion's bias swings by itself: its out-of-fold predictions, window by window."""

    sd: Number  # of the windows' biases; None below two windows, and of a multiclass label
    windows: int
    rows: int
    kind: Kind = "binary"
    classes: dict[str, Number] = {}  # of a multiclass label: sd by class


class Record(Performance):
    """A champion's window: labels that were first known in (start, end], met by its own predictions."""

    build: str
    version: int | None
    start: AwareDatetime
    end: AwareDatetime
    first_day: date | None  # local day on which the first label was known
    last_day: date | None
    complete_days: int  # local days with labels that lie in the window from midnight to midnight
    mature: bool  # rows and complete_days are at least the next two
    min_rows: int = 0
    min_days: int = 0
    unpredicted: int  # labels of the window that no champion predicted
    unlabelled: int  # predictions made between the judged ones that have no label by `end`
    labels: dict[date, int] | None = None  # of the window by local day, predicted or not; None: an older version's
    arrived_late: int = 0  # labels of earlier windows that came after those were recorded, and are judged in none
    predecessors: dict[str, Performance] = {}  # rows of the window that earlier champions served, by build
    drift: Drift | None = None
    shift: Number = None  # of the predictions from the out-of-fold ones, in their standard deviations
    strays: dict[str, int] = {}  # outcomes of the window that no label of the champion can be: judged nowhere
    reference: Reference
    rules: tuple[RuleResult, ...] = ()

    @property
    def alarms(self) -> list[str]:
        """The names of the rules that alarm."""
        return [rule.name for rule in self.rules if rule.alarm]

    @property
    def unknown(self) -> list[str]:
        """The names of the rules that cannot be answered."""
        return [rule.name for rule in self.rules if rule.alarm is None]

    def overlaps(self, later: datetime) -> bool:
        """Whether this window reaches well into one that starts at `later`.

        A tenth of a window is let pass: a window that an older version recorded ends with its run, not at midnight.
        """
        return self.end > later + (self.end - self.start) / 10
