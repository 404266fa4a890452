"""Decisions of people, which nothing can decide again: whether what they refer to is in the ledger, and fits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evergreen.ledger.records import Decision, Promotion


def why_unfounded(decision: Decision, decisions: Mapping[str, Decision], promotions: Sequence[Promotion]) -> str | None:
    """What an approval or a rollback refers to and the ledger does not have; None where all of it is there."""
    if decision.kind == "approval":
        return _approval(decision, decisions)
    named = {who: decision.inputs.get(who) or {} for who in ("candidate", "champion")}
    return next((found for who, model in named.items() if (found := _model(who, model, promotions))), None)


def _approval(decision: Decision, decisions: Mapping[str, Decision]) -> str | None:
    inputs = decision.inputs
    judged = decisions.get(str(inputs.get("decision")))
    if judged is None:
        return f"it answers `{inputs.get('decision')}`, which is not in the ledger"
    if (judged.kind, judged.verdict, judged.build) != ("gate", "promote", decision.build):
        return f"it is about {decision.build}, and answers a {judged.kind} decision to {judged.verdict} {judged.build}"
    if (despite := inputs.get("despite")) and despite not in decisions:
        return f"it forces against `{despite}`, which is not in the ledger"
    answered, deadline = inputs.get("answered_at"), inputs.get("deadline")
    if decision.verdict == "promote" and answered and deadline and answered > deadline:  # ISO 8601, in UTC both
        return f"it was given at {answered}, after its deadline {deadline}"
    return None


def _model(who: str, model: Mapping[str, Any], promotions: Sequence[Promotion]) -> str | None:
    if any((one.build, one.bundle) == (model.get("build"), model.get("bundle")) for one in promotions):
        return None
    what = "goes back to" if who == "candidate" else "takes off"
    return f"it {what} {model.get('build')}, which by the ledger was never champion with that bundle"
