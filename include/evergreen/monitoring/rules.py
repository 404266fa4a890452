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
from evergreen.params.prediction import Kind

# What a rule is about, by its kind and the label's.
WHAT: dict[tuple[str, Kind], str] = {
    ("bias", "binary"): "|mean p - rate|", ("ewma", "binary"): "|weighted bias|",
    ("bias", "multiclass"): "|mean p - share|", ("ewma", "multiclass"): "|weighted bias|",
    ("bias", "regression"): "|mean prediction - mean outcome|", ("ewma", "regression"): "|weighted bias|",
}  # fmt: skip

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
    """The window's |bias| against the swing that the reference allows; of several classes, of the worst."""
    last = records[-1] if records else None
    values = {name: last.classes[name].bias if last and name in last.classes else None for name in reference.classes}
    return _swings("bias", last.bias if last else None, values, rule.sigmas, reference)


def swing(sigmas: float, reference: Reference, name: str | None = None) -> tuple[float | None, str]:
    """The bias that one more window exceeds by chance as rarely as a normal exceeds `sigmas` SDs, and its basis.

    The SD is an estimate from few windows, so the limit is Student's prediction limit for one further observation,
    t(n - 1) * sd * sqrt(1 + 1 / n), which comes down to `sigmas` * sd as windows are added (Hahn and Meeker,
    Statistical Intervals, 1991, section 4.8). None below two windows. Of several classes it is that of the class
    `name`, and each is exceeded the rarer the more there are (Bonferroni), so that together they alarm as one would.
    """
    from scipy import stats

    sd = reference.sd if name is None else reference.classes[name]
    if sd is None or reference.windows < 2:
        return None, "no reference"
    rare = stats.norm.sf(sigmas) / max(len(reference.classes), 1)
    limit = float(stats.t.isf(rare, reference.windows - 1)) * sd * math.sqrt(1 + 1 / reference.windows)
    sds, shown = limit / sd if sd else 0.0, figure(sd, reference.kind)
    return limit, f"{sds:.1f} SDs of {shown}: {sigmas:g} sigmas, known from {reference.windows} windows"


def ewma(rule: EwmaRule, records: Sequence[Record], reference: Reference) -> RuleResult:
    """The exponentially weighted bias since the promotion, which starts at 0; of several classes, of the worst.

    Its swing, once settled, is that of a window times sqrt(weight / (2 - weight)) for independent ones (Roberts 1959),
    so windows that overlap a later one are skipped, counted back from the last; so are immature ones, which say too
    little.
    """
    apart = _apart(records)
    values = {
        name: _weighted([one.classes[name].bias if name in one.classes else None for one in apart], rule.weight)
        for name in reference.classes
    }
    value = _weighted([record.bias for record in apart], rule.weight)
    return _swings("ewma", value, values, rule.sigmas, reference, rule.weight)


def skill(rule: SkillRule, records: Sequence[Record], reference: Reference) -> RuleResult:
    """The skill against the window's own rates, by log-loss, or of a regression its own mean, by squared error.

    A constant at that rate, or mean, has skill 0.
    """
    value = records[-1].skill if records else None
    what = "squared-error skill" if reference.kind == "regression" else "log-loss skill"
    if value is None or math.isnan(value):
        return _unknown("skill", value, rule.least, what)
    alarm = value < rule.least
    text = f"{what} {value:.3f} is {'below' if alarm else 'not below'} {rule.least:g}"
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


def figure(value: float, kind: Kind) -> str:
    """A number as people read it: a probability's to three places, a value's to four digits."""
    return f"{value:.4g}" if kind == "regression" else f"{value:.3f}"


def _weighted(biases: Sequence[float | None], weight: float) -> float | None:
    """The exponentially weighted mean, which starts at 0; None where there is none, or one is missing."""
    value: float | None = 0.0 if biases else None
    for bias in biases:
        if value is None or bias is None:
            return None
        value = weight * bias + (1 - weight) * value
    return value


def _swings(
    kind: str, value: float | None, values: Mapping[str, float | None], sigmas: float, reference: Reference,
    weight: float | None = None,
) -> RuleResult:  # fmt: skip
    """A bias, or of a multiclass label the worst of `values`, against its swing; `weight` is that of an EWMA."""
    if reference.kind != "multiclass":
        return _swung(kind, value, None, sigmas, reference, weight)
    found = [_swung(kind, bias, name, sigmas, reference, weight) for name, bias in values.items()]
    return max(found, key=_badness) if found else _unknown(kind, None, None, WHAT[kind, "multiclass"])


def _swung(
    kind: str, value: float | None, name: str | None, sigmas: float, reference: Reference, weight: float | None
) -> RuleResult:
    limit, basis = swing(sigmas, reference, name)
    if weight is not None:
        limit = None if limit is None else limit * math.sqrt(weight / (2 - weight))
        basis += f", weight {weight:g}"
    what = WHAT[kind, reference.kind] + (f" of `{name}`" if name is not None else "")
    return _above(kind, what, None if value is None else abs(value), limit, basis, reference.kind)


def _badness(result: RuleResult) -> tuple[int, float]:
    """Alarms first, then what is not known, then what is nearest to its limit."""
    share = (result.value or 0.0) / result.limit if result.limit else math.inf if result.value else 0.0
    return {True: 2, None: 1, False: 0}[result.alarm], share


def _above(
    kind: str, what: str, value: float | None, limit: float | None, basis: str, label: Kind = "binary"
) -> RuleResult:
    if value is None or limit is None or math.isnan(value) or math.isnan(limit):
        return _unknown(kind, value, limit, what)
    alarm = value > limit
    shown = figure(value, label), figure(limit, label)
    text = f"{what} {shown[0]} is {'above' if alarm else 'not above'} {shown[1]} ({basis})"
    return RuleResult(name=kind, kind=kind, value=value, limit=limit, alarm=alarm, text=text)


def _unknown(kind: str, value: float | None, limit: float | None, what: str) -> RuleResult:
    known = value is not None and not math.isnan(value)
    missing = "its limit cannot be derived from the reference" if known else "it cannot be computed"
    return RuleResult(name=kind, kind=kind, value=value, limit=limit, alarm=None, text=f"{what} is unknown: {missing}")
