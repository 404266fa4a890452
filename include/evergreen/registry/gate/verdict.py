"""The gate: a pure function of evidence, params and facts to `promote`, `reject` or `inconclusive`.

A rule passes, fails or cannot be judged. One that fails rejects; else one that cannot be judged makes the verdict
inconclusive; only where every rule passes is a candidate promoted. So nothing missing is ever a pass.
"""

from __future__ import annotations

from typing import Literal

from evergreen.params.gate import Gate
from evergreen.registry.gate.better import better, distinct, every
from evergreen.registry.gate.calibration import calibration
from evergreen.registry.gate.enough import complete, enough, learned, unseen
from evergreen.registry.gate.fairness import fairness
from evergreen.registry.gate.floors import floor, metrics
from evergreen.registry.gate.records import Evidence, Facts, Rule, Verdict
from evergreen.registry.gate.refit import refit
from evergreen.registry.gate.segments import segments
from evergreen.registry.gate.serving import latency, size


def decide(evidence: Evidence, gate: Gate, facts: Facts) -> Verdict:
    """Judge a candidate; the same arguments always give the same verdict."""
    import numpy as np

    # The square of a prediction of 1e200 is infinite: what comes of it is no number, and no rule passes on it.
    with np.errstate(over="ignore", invalid="ignore"):
        return _decide(evidence, gate, facts)


def _decide(evidence: Evidence, gate: Gate, facts: Facts) -> Verdict:
    checks = [*enough(evidence, gate, facts), complete(evidence, facts), unseen(evidence, facts), *learned(facts)]
    if any(rule.passed is not True for rule in checks):
        return _conclude(checks, {})
    figures = metrics(evidence, gate, facts)
    if facts.champion_build is not None:
        one = distinct(facts)
        # Of a champion that cannot be compared this says something only where it is the same model.
        checks += [one] if facts.incomparable is None or one.passed is not True else []
        if one.passed is not True:
            return _conclude(checks, figures)
    checks += [floor(name, limit, figures["candidate"].get(name)) for name, limit in gate.floor.items()]
    if facts.champion_build is not None:
        checks.append(better(evidence, gate, facts))
        checks += [*calibration(evidence, gate, facts), *segments(evidence, gate, facts)]
    checks += [*fairness(evidence, gate, facts), *size(gate, facts), *latency(gate, facts)]
    checks += refit(evidence, gate, facts)
    if facts.champion_build is not None:
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
