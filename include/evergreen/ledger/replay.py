"""Every gate decision decided again, from its stored evidence and inputs alone.

What people decided (approvals, rollbacks) follows from nothing that is stored: there it is checked that what they
refer to is in the ledger.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from evergreen.errors import RegistryError
from evergreen.ledger.records import Decision, Kind
from evergreen.ledger.referred import why_unfounded
from evergreen.ledger.rows import jsonable
from evergreen.ledger.store import Ledger
from evergreen.params.gate import Gate
from evergreen.paths import Home
from evergreen.project import Project


class ReplayedDecision(BaseModel):
    """A decision and what it would be now; `problem` says what differs, or why it cannot be told."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind = "gate"
    recorded: str
    replayed: str | None
    problem: str | None = None

    @property
    def same(self) -> bool:
        """Whether verdict, rules and numbers came out as recorded; of other kinds, whether it is founded."""
        return self.problem is None


def replay(project: Project) -> list[ReplayedDecision]:
    """The use case's decisions, oldest first; nothing is written, and MLflow, lake and models are not needed."""
    ledger = Ledger.open(project.home)
    decisions, promotions = ledger.decisions(project.name), ledger.promotions(project.name)
    known = {decision.id: decision for decision in decisions}
    return [
        _replay(project.home, one)
        if one.kind == "gate"
        else ReplayedDecision(
            id=one.id, kind=one.kind, recorded=one.verdict, replayed=None, problem=why_unfounded(one, known, promotions)
        )
        for one in reversed(decisions)
    ]


def _replay(home: Home, decision: Decision) -> ReplayedDecision:
    from evergreen.registry.evidence import as_evidence, load_evidence
    from evergreen.registry.gate import Facts, decide

    def result(replayed: str | None, problem: str | None) -> ReplayedDecision:
        return ReplayedDecision(id=decision.id, recorded=decision.verdict, replayed=replayed, problem=problem)

    try:
        gate = Gate.model_validate(decision.inputs.get("gate"))
        facts = Facts.model_validate(decision.inputs.get("facts"))
        evidence = as_evidence(load_evidence(home, decision.evidence or ""))
    except RegistryError as error:
        return result(None, str(error))
    except ValidationError as error:
        return result(None, f"its recorded inputs cannot be read: {error.errors()[0]['msg']}")
    verdict = decide(evidence, gate, facts)
    if verdict.verdict != decision.verdict:
        return result(verdict.verdict, f"the verdict is now: {verdict.reason}")
    found = jsonable(verdict.model_dump(mode="json"))
    changed = [rule["rule"] for rule in found["rules"] if not _recorded(decision.inputs.get("rules"), rule)]
    if not _alike(decision.inputs.get("metrics"), found["metrics"]):
        changed.append("metrics")
    return result(verdict.verdict, f"same verdict, but other numbers in {', '.join(changed)}" if changed else None)


def _recorded(rules: Any, found: dict[str, Any]) -> bool:
    """Whether a rule was recorded with this outcome and these numbers; its text follows from them."""
    keys = ("rule", "passed", "numbers")
    return any(all(_alike(rule.get(key), found[key]) for key in keys) for rule in rules or [])


def _alike(one: Any, other: Any) -> bool:
    """Equal, where numbers may differ by what another processor's sums differ by."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)
