"""approve: what a person says to a verdict to promote, in the ledger. The first answer stands, a late one is refused.

By Airflow's page of the task `ask` or by `evergreen approve`; `promote` carries out what was approved.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from evergreen import clock
from evergreen.clock import format_time
from evergreen.disk import full_disk_is_said
from evergreen.errors import EvergreenError
from evergreen.ledger import Decision, Ledger
from evergreen.ledger.approvals import answer_to, approval_id, approvers_of, deadline_of, is_required
from evergreen.ledger.describe import describe
from evergreen.ledger.markdown import unlinked
from evergreen.project import Project
from evergreen.stages.promote import obstacle, require_decision, rolled_back

log = logging.getLogger(__name__)

Chosen = Literal["approve", "reject"]
NO_COMMENT = "no comment was given"


class LateAnswerError(EvergreenError):
    """An answer after the deadline, which changes nothing."""


class ApproveResult(BaseModel):
    """The answer that stands."""

    model_config = ConfigDict(frozen=True)

    decision: str
    approved: bool
    reason: str
    actor: str
    first: bool  # False where somebody had answered before, and this answer changed nothing
    note: str | None = None  # why nothing is promoted although it is approved


class Question(BaseModel):
    """What a person is asked; `body` is Markdown."""

    model_config = ConfigDict(frozen=True)

    subject: str
    body: str
    deadline: datetime
    approvers: list[str]


@full_disk_is_said()
def approve(
    project: Project, decision: str, chosen: Chosen, comment: str, actor: str, answered_at: datetime | None = None
) -> ApproveResult:
    """Record who answered a decision when and why.

    Raises LateAnswerError after the deadline, with nothing recorded, and EvergreenError for a decision that nobody is
    asked about, and for an answer from before the verdict, which was about another one.
    """
    ledger = Ledger.open(project.home)
    found = _asked_about(project, ledger, decision)
    answered, deadline = answered_at or datetime.now(UTC), deadline_of(found)
    if answer_to(ledger, found) is None and answered > deadline:
        raise LateAnswerError(
            f"the answer of {actor} to `{found.id}` came at {format_time(answered)}, after the deadline "
            f"{format_time(deadline)}, and changes nothing: run the retrain again, and a new build is asked about"
        )
    if answered < found.created_at:
        raise EvergreenError(
            f"the answer of {actor} was given at {format_time(answered)}, before the verdict `{found.id}`, which is of "
            f"{format_time(found.created_at)}: it was about another one. Ask again (clear the task `ask`)"
        )
    return _record(project, ledger, found, _Answer(chosen, comment.strip() or NO_COMMENT, actor, answered))


@full_disk_is_said()
def expire(project: Project, decision: str, now: datetime | None = None) -> ApproveResult:
    """Record that nobody answered in time, which rejects; an answer that stands stays.

    Raises EvergreenError before the deadline: until then somebody may.
    """
    ledger = Ledger.open(project.home)
    found = _asked_about(project, ledger, decision)
    deadline = deadline_of(found)
    if answer_to(ledger, found) is None and (now or datetime.now(UTC)) < deadline:
        raise EvergreenError(
            f"`{found.id}` may be answered until {format_time(deadline)}, and nobody has answered yet: ask "
            f"(clear the task `ask`), or run `evergreen approve {found.id}`"
        )
    return _record(
        project, ledger, found, _Answer("reject", f"nobody answered by {format_time(deadline)}", "deadline", deadline)
    )


def question(project: Project, decision: str, links: dict[str, str], forced: bool = False) -> Question | str:
    """What to ask of a decision, or why nobody need be asked; `links` are shown above it."""
    ledger = Ledger.open(project.home)
    found = require_decision(project, ledger, decision)
    if found.verdict != "promote":
        return f"{found.verdict}, which nobody is asked about: {found.reason}"
    if not is_required(found):
        return "no approval is asked for (`gate.approval`)"
    if answer := answer_to(ledger, found):
        return f"answered already by {answer.actor}: {answer.reason}"
    if why_not := obstacle(ledger, found, forced):
        return f"nothing to approve: {why_not}"
    deadline = format_time(deadline_of(found))
    listed = " · ".join(f"[{text}]({url})" for text, url in links.items())
    back = rolled_back(ledger, found)  # forced, or there would be an obstacle
    warned = [f"**This run forces what a person took off:** {unlinked(' '.join(back.split()))}"] if back else []
    body = "\n\n".join(
        [
            f"Shall **{found.build}** become the champion of `{found.name}`? An answer counts until **{deadline}**; "
            "without one nothing is promoted. The form is at the end of this page. By command line: "
            f"`evergreen approve {found.id} --comment TEXT`, or `--reject`.",
            *warned,
            *([listed] if listed else []),
            describe(found),
        ]
    )
    return Question(
        subject=f"{found.name}: promote {found.build}?",
        body=body,
        deadline=deadline_of(found),
        approvers=approvers_of(found),
    )


class _Answer(NamedTuple):
    chosen: Chosen
    comment: str
    actor: str
    at: datetime


def _asked_about(project: Project, ledger: Ledger, decision: str) -> Decision:
    found = require_decision(project, ledger, decision)
    if not is_required(found):
        why = "asks for no approval" if found.verdict == "promote" and found.kind == "gate" else f"says {found.verdict}"
        raise EvergreenError(f"the {found.kind} decision `{found.id}` {why}: there is nothing to approve")
    return found


def _record(project: Project, ledger: Ledger, found: Decision, answer: _Answer) -> ApproveResult:
    """Record an answer unless there is one; promoted is from when it was given, on the clock of the project."""
    mine = Decision(
        id=approval_id(found.id),
        name=found.name,
        kind="approval",
        build=found.build,
        as_of=max(found.as_of, clock.now(project.home)),
        verdict="promote" if answer.chosen == "approve" else "reject",
        reason=answer.comment,
        inputs={
            "decision": found.id,
            "chosen": answer.chosen,
            "answered_at": format_time(answer.at),
            "deadline": format_time(deadline_of(found)),
        },
        actor=answer.actor,
    )
    stands = ledger.record_decision(mine)
    log.info("%s by %s: %s", stands.inputs["chosen"], stands.actor, stands.reason)
    champion, approved = ledger.champion(found.name), stands.verdict == "promote"
    taken = champion is not None and champion.build == found.build
    return ApproveResult(
        decision=found.id,
        approved=approved,
        reason=stands.reason,
        actor=stands.actor,
        first=stands == mine,
        note=obstacle(ledger, found, forced=False) if approved and not taken else None,
    )
