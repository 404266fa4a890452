"""Size and latency of the model that would serve: as they were measured, shown also where nothing limits them."""

from __future__ import annotations

from evergreen.params.gate import Gate
from evergreen.registry.gate.records import Facts, Rule


def size(gate: Gate, facts: Facts) -> list[Rule]:
    """Bytes of the model's file."""
    champion = facts.champion_size
    return _rule("size", facts.size, champion, gate.max_size, gate.max_size_ratio, "bytes", facts)


def latency(gate: Gate, facts: Facts) -> list[Rule]:
    """The median time that one row takes, which other work on the machine moves less than its tail; that is shown."""
    own, other = facts.latency, facts.champion_latency
    median, beside = (one.median if one else None for one in (own, other))
    rules = _rule("latency", median, beside, gate.max_latency, gate.max_latency_ratio, "ms", facts)
    if own is None:
        return rules
    tail = f"; 95 % of {own.predictions} predictions of one row took at most {own.p95:.3g} ms"
    numbers = {"p95": own.p95, "champion_p95": other and other.p95}
    return [rule.model_copy(update={"text": rule.text + tail, "numbers": rule.numbers | numbers}) for rule in rules]


def _rule(
    name: str, own: float | None, other: float | None, most: float | None, ratio: float | None, unit: str, facts: Facts
) -> list[Rule]:
    if facts.champion_build is None:
        ratio = None  # a first model has nothing to be compared with
    if own is None and most is None and ratio is None:
        return []
    numbers = {"value": own, "champion": other, "threshold": most, "ratio": ratio}
    if own is None or (ratio is not None and other is None):
        who = "the candidate's" if own is None else f"the champion's, {facts.champion_build}'s,"
        return [Rule(rule=name, passed=None, text=f"{who} {name} was not measured", numbers=numbers)]
    broken = []
    if most is not None and own > most:
        broken.append(f"at most {most:.10g} {unit}")
    if ratio is not None and other is not None and own > ratio * other:
        broken.append(f"at most {ratio:g} times the champion's")
    text = f"{name} {own:.10g} {unit}" if unit == "bytes" else f"{name} {own:.3g} {unit}"
    if other is not None:
        text += f" (champion {other:.10g})" if unit == "bytes" else f" (champion {other:.3g})"
    text += f" is not {' and not '.join(broken)}" if broken else " is within the limits" if most or ratio else ""
    return [Rule(rule=name, passed=not broken, text=text, numbers=numbers)]
