"""Which builds a rollback has taken off, so that no verdict brings them back by itself."""

from __future__ import annotations

from evergreen.ledger.records import Decision
from evergreen.ledger.store import Ledger


def taken_off(ledger: Ledger, name: str) -> dict[str, Decision]:
    """Build to the rollback that took it off; one that a person made champion again since is not among them."""
    decisions = {one.id: one for one in ledger.decisions(name)}
    found: dict[str, Decision] = {}
    for promotion in reversed(ledger.promotions(name)):
        found.pop(promotion.build, None)
        decision = decisions[promotion.decision]
        if decision.kind == "rollback" and promotion.previous_build:
            found[promotion.previous_build] = decision
    return found


def rollback_of(ledger: Ledger, decision: Decision) -> Decision | None:
    """The rollback that took off what a decision judged: that build, or one with the same model, byte for byte."""
    found = taken_off(ledger, decision.name)
    if decision.build in found:
        return found[decision.build]
    model = (decision.inputs.get("candidate") or {}).get("model_sha256")
    return next((one for one in found.values() if model and one.inputs["champion"].get("model_sha256") == model), None)
