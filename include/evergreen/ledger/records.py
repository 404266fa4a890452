"""What the ledger holds: decisions, promotions, retrain requests and monitored windows, all immutable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

Kind = Literal["gate", "approval", "rollback"]
Verdict = Literal["promote", "reject", "inconclusive"]
Moment = Annotated[AwareDatetime, AfterValidator(lambda value: value.astimezone(UTC))]


class Record(BaseModel):
    """A row of the ledger. Moments are aware and in UTC; `created_at` is wall time, which only deadlines ask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  # of the use case
    created_at: Moment = Field(default_factory=lambda: datetime.now(UTC))


class Decision(Record):
    """What was decided, on what, and by whom: `inputs` and `evidence` are enough to decide it again."""

    id: str
    kind: Kind
    build: str | None
    as_of: Moment
    verdict: Verdict
    reason: str
    inputs: dict[str, Any] = {}
    evidence: str | None = None  # sha256 of the rows in home/evidence
    actor: str


class Promotion(Record):
    """From `as_of` on, `build` is the champion."""

    build: str
    version: int | None  # in MLflow; None without tracking
    bundle: str  # sha256 of bundle.json
    cutoff: Moment  # the model learned from labels known up to here
    as_of: Moment
    decision: str
    previous_build: str | None


class Request(Record):
    """Somebody or something asks for a retrain; open until a decision answers it."""

    id: str
    as_of: Moment
    raised_by: str
    reason: str
    evidence: dict[str, Any] = {}
    build: str | None  # the champion it was raised about
    answered_by: str | None = None  # a decision's id; kept in a table of its own


class Window(Record):
    """What the monitor measured of a champion in the window that ends at `end`."""

    build: str
    end: Moment
    record: dict[str, Any]
