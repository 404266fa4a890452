"""The gate: a pure function of evidence, params and facts to `promote`, `reject` or `inconclusive`.

A rule passes, fails or cannot be judged. One that fails rejects; else one that cannot be judged makes the verdict
inconclusive; only where every rule passes is a candidate promoted. So nothing missing is ever a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict

from evergreen import clock
from evergreen.params.gate import Gate
from evergreen.params.prediction import Kind

if TYPE_CHECKING:
    import numpy as np

AT_MOST = ("log_loss", "brier", "mae", "mse", "rmse", "mape")  # every other metric is better where it is higher
BINARY = ("roc_auc", "pr_auc", "log_loss", "brier", "precision", "recall", "f1")


@dataclass(frozen=True)
class Evidence:
    """The rows of the gate window, one element a row; shapes (n,), of a multiclass label's predictions (n, classes)."""

    label: np.ndarray  # float64: 0 or 1, the place of a class, or a value; NaN where missing
    candidate: np.ndarray  # float64: what the candidate's twin says
    champion: np.ndarray | None  # by the champion, on the same rows; None where nothing can be compared
    day: np.ndarray  # int64: the local day of the prediction, counted from 1970-01-01
    known_at: np.ndarray  # datetime64[us], UTC: when the label became what it is
    first_known_at: np.ndarray  # datetime64[us], UTC: when the row's first label was known, as it is or another


class Facts(BaseModel):
    """What the gate knows besides the rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: AwareDatetime
    time_zone: str
    kind: Kind = "binary"
    classes: tuple[str, ...] = ()  # of a multiclass label, in the order of predictions
    build: str
    candidate_sha256: str  # of the twin that is judged
    candidate_cutoff: AwareDatetime  # it learned from labels known up to here: the gate window's start
    window_end: AwareDatetime
    threshold: float | None  # for a binary label's precision, recall and F1
    champion_build: str | None = None  # None: this is the first model
    champion_model: Literal["model", "twin"] | None = None  # which of the champion's two is compared
    champion_sha256: str | None = None
    champion_cutoff: AwareDatetime | None = None
    incomparable: str | None = None  # why the champion cannot be judged on these rows
    last_promotion: AwareDatetime | None = None


class Rule(BaseModel):
    """One rule's outcome: `passed` is None where it cannot be judged."""

    model_config = ConfigDict(frozen=True)

    rule: str
    passed: bool | None
    text: str
    numbers: dict[str, Any] = {}


class Verdict(BaseModel):
    """The verdict, why, and every rule with its numbers."""

    model_config = ConfigDict(frozen=True)

    verdict: Literal["promote", "reject", "inconclusive"]
    reason: str
    rules: tuple[Rule, ...]
    metrics: dict[str, dict[str, float | None]] = {}  # of the candidate and, where there is one, of the champion


def decide(evidence: Evidence, gate: Gate, facts: Facts) -> Verdict:
    """Judge a candidate; the same arguments always give the same verdict."""
    checks = [*_enough(evidence, gate, facts), _complete(evidence, facts), _unseen(evidence, facts)]
    if any(rule.passed is not True for rule in checks):
        return _conclude(checks, {})
    metrics = _metrics(evidence, gate, facts)
    if facts.champion_build is not None and facts.incomparable is None:
        checks.append(_distinct(facts))
        if checks[-1].passed is not True:
            return _conclude(checks, metrics)
    checks += [_floor(name, limit, metrics["candidate"].get(name)) for name, limit in gate.floor.items()]
    if facts.champion_build is not None:
        checks.append(_better(evidence, gate, facts))
        checks.append(_every(gate, facts))
    return _conclude(checks, metrics)


def _conclude(rules: list[Rule], metrics: dict[str, dict[str, float | None]]) -> Verdict:
    failed = [rule.text for rule in rules if rule.passed is False]
    unjudged = [rule.text for rule in rules if rule.passed is None]
    if failed or unjudged:
        verdict: Literal["reject", "inconclusive"] = "reject" if failed else "inconclusive"
        return Verdict(verdict=verdict, reason="; ".join(failed or unjudged), rules=tuple(rules), metrics=metrics)
    said = [rule.text for rule in rules if rule.rule == "better" or rule.rule.startswith("floor.")]
    reason = "; ".join(said) or "there is no champion and no floor to pass"
    return Verdict(verdict="promote", reason=reason, rules=tuple(rules), metrics=metrics)


def _enough(evidence: Evidence, gate: Gate, facts: Facts) -> list[Rule]:
    """Rows, rows of each class, and days: too few of any cannot be judged."""
    import numpy as np

    names: dict[str, float] = (
        {"positives": 1, "negatives": 0}
        if facts.kind == "binary"
        else {f"rows of {name}": place for place, name in enumerate(facts.classes)}
    )
    found = {
        "rows": (len(evidence.label), gate.min_rows),
        **{what: (int((evidence.label == place).sum()), gate.min_positives) for what, place in names.items()},
        "days": (len(np.unique(evidence.day)), gate.min_days),
    }
    return [
        Rule(
            rule=f"enough.{what}", passed=True if count >= least else None,
            text=f"the gate window has {count} {what}; at least {least} are needed",
            numbers={"value": count, "threshold": least},
        )
        for what, (count, least) in found.items()
    ]  # fmt: skip


def _complete(evidence: Evidence, facts: Facts) -> Rule:
    """Every row has a label and each model's prediction; what is missing is counted."""
    import numpy as np

    labels = (
        np.isfinite(evidence.label)
        if facts.kind == "regression"
        else (np.isin(evidence.label, range(len(facts.classes) or 2)))
    )
    wrong = {"labels": int((~labels).sum())}
    for who, p in (("candidate", evidence.candidate), ("champion", evidence.champion)):
        if p is not None:
            # Negated, since a comparison with NaN is false.
            usable = np.isfinite(p) if facts.kind == "regression" else (p >= 0) & (p <= 1)
            wrong[who] = int((~(usable if p.ndim == 1 else usable.all(axis=1))).sum())
    if facts.champion_build is not None and facts.incomparable is None and evidence.champion is None:
        wrong["champion"] = len(evidence.label)
    said = ", ".join(f"{count} of {whose}" for whose, count in wrong.items() if count)
    what = "finite" if facts.kind == "regression" else "probabilities"
    return Rule(
        rule="complete", passed=None if said else True, numbers=wrong,
        text=f"values are missing or not {what}: {said}" if said else "every row has label and predictions",
    )  # fmt: skip


def _unseen(evidence: Evidence, facts: Facts) -> Rule:
    """No label of the row was known to either model while it learned, nor was this one not known yet at `as_of`."""
    compared = facts.champion_cutoff if facts.incomparable is None else None
    start = max(facts.candidate_cutoff, compared or facts.candidate_cutoff)
    end = min(facts.as_of, facts.window_end)
    # Negated, since a comparison with a missing time is false.
    inside = (evidence.first_known_at > _us(start)) & (evidence.known_at <= _us(end))
    count = int((~inside).sum())
    span = f"first after {clock.format_time(start)} and by {clock.format_time(end)}"
    return Rule(
        rule="unseen", passed=None if count else True, numbers={"outside": count},
        text=f"{count} labels were not known {span}: a model has seen them or nobody could have"
        if count else f"every label was known {span}",
    )  # fmt: skip


def _distinct(facts: Facts) -> Rule:
    same = facts.candidate_sha256 == facts.champion_sha256
    return Rule(
        rule="distinct", passed=None if same else True,
        numbers={"candidate": facts.candidate_sha256, "champion": facts.champion_sha256},
        text="nothing to compare: the candidate's twin is the champion's model, byte for byte; no label beyond its "
        f"cut-off {clock.format_time(facts.candidate_cutoff)} has been learned from yet"
        if same else "candidate and champion are different models",
    )  # fmt: skip


def _floor(name: str, limit: float, value: float | None) -> Rule:
    numbers = {"value": value, "threshold": limit}
    if value is None:
        return Rule(rule=f"floor.{name}", passed=None, text=f"{name} cannot be computed", numbers=numbers)
    passed = value <= limit if name in AT_MOST else value >= limit
    side = "at most" if name in AT_MOST else "at least"
    text = f"{name} {value:.4f} {'is' if passed else 'is not'} {side} {limit:g}"
    return Rule(rule=f"floor.{name}", passed=passed, text=text, numbers=numbers)


def _better(evidence: Evidence, gate: Gate, facts: Facts) -> Rule:
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


def _every(gate: Gate, facts: Facts) -> Rule:
    zone = ZoneInfo(facts.time_zone)
    last = facts.last_promotion
    if last is None or clock.back(facts.as_of, gate.every, zone) >= last:
        return Rule(rule="every", passed=True, text="the last promotion is long enough ago")
    return Rule(
        rule="every", passed=None,
        text=f"{facts.champion_build} was promoted as of {clock.format_time(last)}; the next promotion can be as of "
        f"{clock.format_time(clock.back(last, -gate.every, zone))}",
    )  # fmt: skip


def _metrics(evidence: Evidence, gate: Gate, facts: Facts) -> dict[str, dict[str, float | None]]:
    from evergreen.training.metrics import finite, metrics_of

    found: dict[str, dict[str, float | None]] = {}
    for who, p in (("candidate", evidence.candidate), ("champion", evidence.champion)):
        if p is not None:
            figures = finite(metrics_of(facts.kind, evidence.label, p, facts.threshold))
            # A replay compares them all: an old decision has recorded these of a binary label, and its floors.
            wanted = (*BINARY, *gate.floor) if facts.kind == "binary" else figures
            found[who] = {name: value for name, value in figures.items() if name in wanted}
    return found


def _us(moment: datetime) -> np.datetime64:
    import numpy as np

    return np.datetime64(clock.naive(moment), "us")
