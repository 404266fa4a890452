"""Fairness: how far apart the candidate may treat the groups of a sensitive column, by Fairlearn's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.params.gate import Gate
from evergreen.registry.gate.records import Evidence, Facts, Rule

if TYPE_CHECKING:
    from evergreen.training.evaluation.levels import Levels

OF = {  # the figures of a group that a name compares; of several, the one that is farthest apart counts
    "demographic_parity": ("selection_rate",),
    "equalized_odds": ("recall", "false_positive_rate"),
    "equal_opportunity": ("recall",),
}


def fairness(evidence: Evidence, gate: Gate, facts: Facts) -> list[Rule]:
    """A rule for each limit and sensitive column; what cannot be computed is not passed."""
    if not gate.fairness:
        return []
    if not evidence.sensitive:
        text = "`evaluation.sensitive` names no column whose groups could be compared"
        return [Rule(rule=f"fairness.{name}", passed=None, text=text) for name in gate.fairness]
    return [
        rule
        for column, levels in evidence.sensitive.items()
        for rule in _of_column(evidence, gate, facts, column, levels)
    ]


def _of_column(evidence: Evidence, gate: Gate, facts: Facts, column: str, levels: Levels) -> list[Rule]:
    import numpy as np

    sizes = np.bincount(levels.place[levels.place >= 0], minlength=len(levels.names))
    compared = [place for place, size in enumerate(sizes) if size >= gate.fairness_min_rows]
    small = [levels.names[place] for place, size in enumerate(sizes) if 0 < size < gate.fairness_min_rows]
    figures = {levels.names[place]: _figures(evidence, facts, levels.place == place) for place in compared}
    return [_limit(name, limit, column, figures, small) for name, limit in gate.fairness.items()]


def _figures(evidence: Evidence, facts: Facts, rows: Any) -> dict[str, float]:
    import pandas as pd

    from evergreen.training.evaluation.days import Days
    from evergreen.training.evaluation.judged import Judged

    y, p = evidence.label[rows], evidence.candidate[rows]
    judged = Judged(facts.kind, pd.DataFrame(), y, p, None, (), facts.threshold)
    one_day = Days.one(len(y))
    return one_day.values(judged.tally(one_day))


def _limit(name: str, limit: float, column: str, figures: dict[str, dict[str, float]], small: list[str]) -> Rule:
    import numpy as np

    from evergreen.training.metrics import finite

    what, _, form = name.rpartition("_")
    by_group = {one: {group: found[one] for group, found in figures.items()} for one in OF.get(what, (what,))}
    shown = {one: finite(groups) for one, groups in by_group.items()}
    rule = f"fairness.{name}.{column}"
    numbers = {"threshold": limit, "groups": shown, "too_small": small}
    left = f"; too small to compare: {', '.join(small)}" if small else ""
    values = np.array([list(groups.values()) for groups in by_group.values()])
    if len(figures) < 2 or not np.isfinite(values).all():
        why = "fewer than two groups have rows enough" if len(figures) < 2 else "a group does not define it"
        return Rule(rule=rule, passed=None, text=f"{name} of {column} cannot be computed: {why}{left}", numbers=numbers)
    low, high = values.min(axis=1), values.max(axis=1)
    if form == "difference":
        value = float((high - low).max())
    else:  # two groups of which neither has any are alike
        value = float(np.divide(low, high, out=np.ones_like(low), where=high != 0).min())
    passed = value <= limit if form == "difference" else value >= limit
    side = "at most" if form == "difference" else "at least"
    text = f"{name} of {column} {value:.4f} {'is' if passed else 'is not'} {side} {limit:g}{left}"
    return Rule(rule=rule, passed=passed, text=text, numbers={"value": value, **numbers})
