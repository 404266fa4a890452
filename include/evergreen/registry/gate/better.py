"""Better than the champion, which is another model than the candidate, and whose promotion is long enough ago."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from evergreen import clock
from evergreen.params.gate import Gate
from evergreen.registry.gate.records import Evidence, Facts, Rule

if TYPE_CHECKING:
    import numpy as np

    from evergreen.registry.bootstrap import Comparison


def distinct(facts: Facts) -> Rule:
    """Two models, not one under two names: neither the two that are compared, nor the two that serve."""
    numbers = {"candidate": facts.candidate_sha256, "champion": facts.champion_sha256}
    serving = facts.model_sha256
    if serving is not None:  # it was not recorded at first
        numbers |= {"candidate_model": serving, "champion_model": facts.champion_model_sha256}
    text = None
    if facts.candidate_sha256 == facts.champion_sha256:
        text = (
            "nothing to compare: the candidate's twin is the champion's model, byte for byte; no label beyond its "
            f"cut-off {clock.format_time(facts.candidate_cutoff)} has been learned from yet"
        )
    elif serving is not None and serving == facts.champion_model_sha256:
        text = (
            "nothing to compare: the model that would serve is the one that serves, byte for byte; no label beyond "
            "what the champion knows has been learned from yet"
        )
    different = "candidate and champion are different models"
    return Rule(rule="distinct", passed=None if text else True, numbers=numbers, text=text or different)


def better(evidence: Evidence, gate: Gate, facts: Facts) -> Rule:
    """What `gate.mode` asks is shown with confidence: it passes. Worse is shown: it fails. Neither: no verdict."""
    import numpy as np

    from evergreen.registry.bootstrap import row_losses, swapped_by_day

    if facts.incomparable is not None or evidence.champion is None:
        return Rule(rule="better", passed=None, text=f"nothing to compare: {facts.incomparable}")
    metric = gate.metric_of(facts.kind)
    losses = [row_losses(metric, evidence.label, p) for p in (evidence.candidate, evidence.champion)]
    if not np.isfinite(losses).all():
        return Rule(rule="better", passed=None, text=f"{metric} cannot be computed: a loss is infinite")
    difference = losses[0] - losses[1]
    found = _compare(difference, evidence, gate)
    numbers = vars(found) | {"confidence": gate.confidence}
    shown, what = found.better, "better"
    if gate.margin is not None:
        shown, what = _compare(difference - gate.margin, evidence, gate).better, f"not worse by {gate.margin:g}"
        numbers |= {"margin": gate.margin, "within_margin": shown}
    enough = shown >= found.needed
    if gate.swaps:
        beyond = difference - (gate.margin or 0)
        swapped = swapped_by_day(beyond, evidence.day, resamples=gate.resamples, seed=gate.seed)
        numbers["swapped"] = swapped
        enough = enough and swapped <= 1 - gate.confidence
    passed = True if enough else False if found.worse >= found.needed else None
    words = {True: "better than" if gate.margin is None else f"not worse by {gate.margin:g} than",
             False: "worse than", None: "not shown to differ from" if gate.margin is None
             else f"not shown to be within {gate.margin:g} of"}  # fmt: skip
    text = (
        f"the candidate is {words[passed]} {facts.champion_build} in {metric}: {losses[0].mean():.4f} against "
        f"{losses[1].mean():.4f}, {what} in {shown:.1%} and worse in {found.worse:.1%} of {gate.resamples} "
        f"resamples of days, where {found.needed:.1%} shows it at {gate.confidence:.0%} confidence"
    )
    if gate.swaps:
        text += f"; as good by chance, the two swapped on random days, in {numbers['swapped']:.1%}"
    return Rule(rule="better", passed=passed, text=text, numbers=numbers)


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


def _compare(difference: np.ndarray, evidence: Evidence, gate: Gate) -> Comparison:
    from evergreen.registry.bootstrap import compare_by_day

    return compare_by_day(
        difference, evidence.day, confidence=gate.confidence, resamples=gate.resamples, seed=gate.seed
    )
