"""The catalog of rules: pure functions from a champion's records to an answer, with value, limit and a sentence.

A rule sees the records since the champion's promotion, oldest first; the last one is judged. What it cannot know
(no record, a number that is missing, a reference too short) is `alarm=None`: unknown, never healthy. A further rule is
a model in `params/monitoring.py`, a function here and a line in RULES; the contract tests then run on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evergreen.errors import EvergreenError
from evergreen.monitoring.records import Record, Reference, RuleResult
from evergreen.params.monitoring import BiasRule, DriftRule, EwmaRule, Rule, SkillRule

RuleFunction = Callable[[Any, Sequence[Record], Reference], RuleResult]


def judge(rules: Mapping[str, Rule], records: Sequence[Record], reference: Reference) -> tuple[RuleResult, ...]:
    """Ask every configured rule about the last of `records`; raises EvergreenError for a kind not in the catalog."""
    return tuple(
        find_rule(rule.kind)(rule, records, reference).model_copy(update={"name": name}) for name, rule in rules.items()
    )


def find_rule(kind: str) -> RuleFunction:
    """The rule of this kind; an unknown one's error lists the known."""
    if kind not in RULES:
        raise EvergreenError(f"`{kind}` is not a monitoring rule; known: {', '.join(sorted(RULES))}")
    return RULES[kind]


def bias(rule: BiasRule, records: Sequence[Record], reference: Reference) -> RuleResult:
    """The window's |bias| against the swing that the reference allows."""
    limit, basis = swing(rule.sigmas, reference)
    return _above("bias", "|mean p - rate|", _magnitude(records[-1].bias if records else None), limit, basis)


def swing(sigmas: float, reference: Reference) -> tuple[float | None, str]:
    """The bias that one more window exceeds by chance as rarely as a normal exceeds `sigmas` SDs, and its basis.

    The SD is an estimate from few windows, so the limit is Student's prediction limit for one further observation,
    t(n - 1) * sd * sqrt(1 + 1 / n), which comes down to `sigmas` * sd as windows are added (Hahn and Meeker,
    Statistical Intervals, 1991, section 4.8). None below two windows.
    """
    from scipy import stats

    if reference.sd is None or reference.windows < 2:
        return None, "no reference"
    t = float(stats.t.isf(stats.norm.sf(sigmas), reference.windows - 1))
    limit = t * reference.sd * math.sqrt(1 + 1 / reference.windows)
    sds, sd = limit / reference.sd if reference.sd else 0.0, reference.sd
    return limit, f"{sds:.1f} SDs of {sd:.3f}: {sigmas:g} sigmas, known from {reference.windows} windows"


def ewma(rule: EwmaRule, records: Sequence[Record], reference: Reference) -> RuleResult:
    """The exponentially weighted bias since the promotion, which starts at 0.

    Its swing, once settled, is that of a window times sqrt(weight / (2 - weight)) for independent ones (Roberts 1959),
    so windows that overlap a later one are skipped, counted back from the last; so are immature ones, which say too
    little.
    """
    limit, basis = swing(rule.sigmas, reference)
    if limit is not None:
        limit *= math.sqrt(rule.weight / (2 - rule.weight))
    value: float | None = 0.0 if records else None
    for record in _apart(records):
        if value is None or record.bias is None:
            value = None
            break
        value = rule.weight * record.bias + (1 - rule.weight) * value
    return _above("ewma", "|weighted bias|", _magnitude(value), limit, f"{basis}, weight {rule.weight:g}")


def skill(rule: SkillRule, records: Sequence[Record], reference: Reference) -> RuleResult:
    """The log-loss skill against the window's own rate; a constant at that rate has skill 0."""
    value = records[-1].skill if records else None
    if value is None or math.isnan(value):
        return _unknown("skill", value, rule.least, "log-loss skill")
    alarm = value < rule.least
    text = f"log-loss skill {value:.3f} is {'below' if alarm else 'not below'} {rule.least:g}"
    return RuleResult(name="skill", kind="skill", value=value, limit=rule.least, alarm=alarm, text=text)


def drift(rule: DriftRule, records: Sequence[Record], reference: Reference) -> RuleResult:
    """The share of drifted columns. Season alone trips it on most data: see docs before switching it on."""
    found = records[-1].drift if records else None
    return _above("drift", "share of drifted columns", found.share if found else None, rule.share, "configured")


RULES: dict[str, RuleFunction] = {"bias": bias, "ewma": ewma, "skill": skill, "drift": drift}


def _apart(records: Sequence[Record]) -> list[Record]:
    """The last record and, going back, those mature ones that do not overlap the one taken before; oldest first."""
    taken: list[Record] = []
    for record in reversed(records):
        if not taken or (record.mature and not record.overlaps(taken[-1].start)):
            taken.append(record)
    return taken[::-1]


def _magnitude(value: float | None) -> float | None:
    return None if value is None else abs(value)


def _above(kind: str, what: str, value: float | None, limit: float | None, basis: str) -> RuleResult:
    if value is None or limit is None or math.isnan(value) or math.isnan(limit):
        return _unknown(kind, value, limit, what)
    alarm = value > limit
    text = f"{what} {value:.3f} is {'above' if alarm else 'not above'} {limit:.3f} ({basis})"
    return RuleResult(name=kind, kind=kind, value=value, limit=limit, alarm=alarm, text=text)


def _unknown(kind: str, value: float | None, limit: float | None, what: str) -> RuleResult:
    known = value is not None and not math.isnan(value)
    missing = "its limit cannot be derived from the reference" if known else "it cannot be computed"
    return RuleResult(name=kind, kind=kind, value=value, limit=limit, alarm=None, text=f"{what} is unknown: {missing}")
