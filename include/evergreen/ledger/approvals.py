"""What a gate decision asks of people before it is carried out, and what they have answered.

A deadline is wall time, also in a replay: the people who answer live in it. It runs from when the verdict was recorded.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from evergreen.clock import format_time
from evergreen.ledger.records import Decision, Promotion
from evergreen.ledger.rollbacks import rollback_of
from evergreen.ledger.store import Ledger
from evergreen.params.base import parse_duration
from evergreen.params.gate import Gate

Choice = Literal["automatic", "required"]


def approval_terms(gate: Gate, chosen: Choice | None, forced: bool = False) -> dict[str, Any]:
    """For a gate decision's inputs: whether it is to be approved, as the run chose, else as params.yaml has it.

    A run may ask for more than params.yaml, not for less: whoever may start a DAG is not therefore an approver.
    `forced`: the run asks also where a rollback took the model off.
    """
    told = {"forced": True} if forced else {}
    if gate.approval == "required" or chosen is None:
        return {"approval": gate.approval, "chosen_by": "params.yaml"} | told
    return {"approval": chosen, "chosen_by": "the run"} | told


def is_required(decision: Decision) -> bool:
    """Whether a person must approve it. A decision that does not say so asks nobody: it is older than approvals."""
    terms = decision.inputs.get("approval") or {}
    return decision.kind == "gate" and decision.verdict == "promote" and terms.get("approval") == "required"


def deadline_of(decision: Decision) -> datetime:
    """After which no answer counts."""
    span = parse_duration(decision.inputs["gate"]["approval_deadline"])
    deadline: datetime = decision.created_at + span
    return deadline.replace(microsecond=0)


def approvers_of(decision: Decision) -> list[str]:
    """Who may answer; empty where everybody may whom Airflow lets."""
    return list(decision.inputs["gate"].get("approvers") or [])


def approval_id(decision: str) -> str:
    """The id of the answer to a decision: there is one."""
    return f"approval-{decision}"


def answer_to(ledger: Ledger, decision: Decision) -> Decision | None:
    """The answer that stands."""
    return ledger.find_decision(approval_id(decision.id))


def unapproved(ledger: Ledger, decision: Decision, now: datetime | None = None) -> str | None:
    """Why a decision may not be carried out for want of an approval; None where it may."""
    if not is_required(decision):
        return None
    answer, deadline = answer_to(ledger, decision), deadline_of(decision)
    if answer is not None and answer.verdict == "promote":
        return None
    if answer is not None:
        return f"rejected by {answer.actor}: {answer.reason}"
    if (now or datetime.now(UTC)) > deadline:
        return f"nobody approved it by {format_time(deadline)}, which rejects it"
    return f"waits for an approval until {format_time(deadline)}: `evergreen approve {decision.id} --comment ...`"


def waiting(ledger: Ledger, name: str, now: datetime | None = None) -> list[Decision]:
    """The decisions that somebody may still approve, newest first: those about the present champion.

    Of what was rolled back nobody is asked, unless the run forces it, so nobody's answer is waited for.
    """
    champion, found = ledger.champion(name), ledger.decisions(name)
    known = {one.id for one in found} | {one.decision for one in ledger.promotions(name)}
    moment = now or datetime.now(UTC)
    return [
        one
        for one in found
        if is_required(one)
        and approval_id(one.id) not in known
        and deadline_of(one) >= moment
        and is_about(one, champion)
        and (one.inputs["approval"].get("forced") or rollback_of(ledger, one) is None)
    ]


def is_about(decision: Decision, champion: Promotion | None) -> bool:
    """Whether a verdict was given against this champion, or, without one, whether there is none still."""
    against = decision.inputs.get("champion")
    return (against and against["build"]) == (champion and champion.build)
