"""The gate: a pure function of evidence, params and facts to `promote`, `reject` or `inconclusive`.

A rule passes, fails or cannot be judged. One that fails rejects; else one that cannot be judged makes the verdict
inconclusive; only where every rule passes is a candidate promoted. So nothing missing is ever a pass.
"""

from __future__ import annotations

from typing import Literal

from evergreen.params.gate import Gate
from evergreen.registry.gate.better import better, distinct, every
from evergreen.registry.gate.enough import complete, enough, unseen
from evergreen.registry.gate.floors import floor, metrics
from evergreen.registry.gate.records import Evidence, Facts, Rule, Verdict


def decide(evidence: Evidence, gate: Gate, facts: Facts) -> Verdict:
    """Judge a candidate; the same arguments always give the same verdict."""
    checks = [*enough(evidence, gate, facts), complete(evidence, facts), unseen(evidence, facts)]
    if any(rule.passed is not True for rule in checks):
        return _conclude(checks, {})
    figures = metrics(evidence, gate, facts)
    if facts.champion_build is not None and facts.incomparable is None:
        checks.append(distinct(facts))
        if checks[-1].passed is not True:
            return _conclude(checks, figures)
    checks += [floor(name, limit, figures["candidate"].get(name)) for name, limit in gate.floor.items()]
    if facts.champion_build is not None:
        checks.append(better(evidence, gate, facts))
        checks.append(every(gate, facts))
    return _conclude(checks, figures)


def _conclude(rules: list[Rule], metrics: dict[str, dict[str, float | None]]) -> Verdict:
    failed = [rule.text for rule in rules if rule.passed is False]
    unjudged = [rule.text for rule in rules if rule.passed is None]
    if failed or unjudged:
        verdict: Literal["reject", "inconclusive"] = "reject" if failed else "inconclusive"
        return Verdict(verdict=verdict, reason="; ".join(failed or unjudged), rules=tuple(rules), metrics=metrics)
    said = [rule.text for rule in rules if rule.rule == "better" or rule.rule.startswith("floor.")]
    reason = "; ".join(said) or "there is no champion and no floor to pass"
    return Verdict(verdict="promote", reason=reason, rules=tuple(rules), metrics=metrics)
