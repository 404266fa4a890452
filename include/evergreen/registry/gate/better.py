"""Better than the champion, which is another model than the candidate, and whose promotion is long enough ago."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from evergreen import clock
from evergreen.params.gate import Gate
from evergreen.registry.gate.records import Evidence, Facts, Rule


def distinct(facts: Facts) -> Rule:
    """Two models, not one under two names."""
    same = facts.candidate_sha256 == facts.champion_sha256
    return Rule(
        rule="distinct", passed=None if same else True,
        numbers={"candidate": facts.candidate_sha256, "champion": facts.champion_sha256},
        text="nothing to compare: the candidate's twin is the champion's model, byte for byte; no label beyond its "
        f"cut-off {clock.format_time(facts.candidate_cutoff)} has been learned from yet"
        if same else "candidate and champion are different models",
    )  # fmt: skip


def better(evidence: Evidence, gate: Gate, facts: Facts) -> Rule:
    """Better with confidence passes, worse with confidence fails; between the two no difference was shown."""
    from evergreen.registry.bootstrap import compare_by_day, row_losses

    if facts.incomparable is not None or evidence.champion is None:
        return Rule(rule="better", passed=None, text=f"nothing to compare: {facts.incomparable}")
    metric = gate.metric_of(facts.kind)
    losses = [row_losses(metric, evidence.label, p) for p in (evidence.candidate, evidence.champion)]
    found = compare_by_day(
        losses[0] - losses[1], evidence.day, confidence=gate.confidence, resamples=gate.resamples, seed=gate.seed
    )
    passed = True if found.better >= found.needed else False if found.worse >= found.needed else None
    word = {True: "better than", False: "worse than", None: "not shown to differ from"}[passed]
    text = (
        f"the candidate is {word} {facts.champion_build} in {metric}: {losses[0].mean():.4f} against "
        f"{losses[1].mean():.4f}, better in {found.better:.1%} and worse in {found.worse:.1%} of {gate.resamples} "
        f"resamples of days, where {found.needed:.1%} shows it at {gate.confidence:.0%} confidence"
    )
    return Rule(rule="better", passed=passed, text=text, numbers=vars(found) | {"confidence": gate.confidence})


def every(gate: Gate, facts: Facts) -> Rule:
    """Promotions keep their distance: judging one champion again and again is repeated testing."""
    zone = ZoneInfo(facts.time_zone)
    last = facts.last_promotion
    if last is None or clock.back(facts.as_of, gate.every, zone) >= last:
        return Rule(rule="every", passed=True, text="the last promotion is long enough ago")
    return Rule(
        rule="every", passed=None,
        text=f"{facts.champion_build} was promoted as of {clock.format_time(last)}; the next promotion can be as of "
        f"{clock.format_time(clock.back(last, -gate.every, zone))}",
    )  # fmt: skip
