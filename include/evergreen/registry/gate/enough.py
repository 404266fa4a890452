"""Whether the rows can judge at all: enough of them, none with a value missing, none seen before."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from evergreen import clock
from evergreen.params.gate import Gate
from evergreen.params.prediction import Kind
from evergreen.registry.gate.records import Evidence, Facts, Rule

if TYPE_CHECKING:
    import numpy as np

ROUNDING = 1e-3  # that sums of a row's probabilities may have, also of 32 bits


def enough(evidence: Evidence, gate: Gate, facts: Facts) -> list[Rule]:
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
            text=f"the gate window has {count} {what}; at least {least} are needed"
            + ("" if len(evidence.label) else _nothing(facts) if what == "rows" else ""),
            numbers={"value": count, "threshold": least},
        )
        for what, (count, least) in found.items()
    ]  # fmt: skip


def complete(evidence: Evidence, facts: Facts) -> Rule:
    """Every row has a label and each model's prediction; what is missing or none is counted."""
    import numpy as np

    labels = (
        np.isfinite(evidence.label)
        if facts.kind == "regression"
        else (np.isin(evidence.label, range(len(facts.classes) or 2)))
    )
    wrong = {"labels": int((~labels).sum())}
    for who, p in (("candidate", evidence.candidate), ("champion", evidence.champion)):
        if p is not None:
            wrong[who] = int((~usable(p, facts.kind, whole=who == "candidate")).sum())
    if facts.champion_build is not None and facts.incomparable is None and evidence.champion is None:
        wrong["champion"] = len(evidence.label)
    said = ", ".join(f"{count} of {whose}" for whose, count in wrong.items() if count)
    what = "finite" if facts.kind == "regression" else "probabilities"
    return Rule(
        rule="complete", passed=None if said else True, numbers=wrong,
        text=f"values are missing or not {what}: {said}" if said else "every row has label and predictions",
    )  # fmt: skip


def usable(p: np.ndarray, kind: Kind, whole: bool = True) -> np.ndarray:
    """Whether each row's prediction is one, (rows,): finite, or probabilities.

    Those of classes sum to one: who gave all to each class would never be wrong by log-loss. A champion's may sum to
    less, where it also gives a chance to classes that the candidate does not know; then `whole` is False.
    """
    import numpy as np

    found: np.ndarray = np.isfinite(p) if kind == "regression" else (p >= 0) & (p <= 1)  # what is NaN lies nowhere
    if p.ndim > 1:
        total = p.sum(axis=1)
        found = found.all(axis=1) & (total <= 1 + ROUNDING) & ((total >= 1 - ROUNDING) | (not whole))
    return found


def unseen(evidence: Evidence, facts: Facts) -> Rule:
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


def learned(facts: Facts) -> list[Rule]:
    """The twin learned from as many rows as its cut-off allows: more, and it has seen what judges it."""
    if facts.twin_rows is None or facts.twin_rows_known is None:
        return []  # the decision is from before this rule
    same = facts.twin_rows == facts.twin_rows_known
    cutoff = clock.format_time(facts.candidate_cutoff)
    return [
        Rule(
            rule="learned", passed=True if same else None,
            text=f"the twin learned from the {facts.twin_rows} rows that were known by its cut-off {cutoff}" if same
            else f"the twin learned from {facts.twin_rows} rows, and {facts.twin_rows_known} were known by its cut-off "
            f"{cutoff}: what the build's code trained on is not what it says, and may be the rows that judge it",
            numbers={"learned": facts.twin_rows, "known": facts.twin_rows_known},
        )
    ]  # fmt: skip


def _nothing(facts: Facts) -> str:
    return (
        f": no row's first label came after {clock.format_time(facts.candidate_cutoff)} and by "
        f"{clock.format_time(facts.window_end)}. Where labels come in batches, gate.window must be longer than the "
        "time between two of them; how late each comes does not matter"
    )


def _us(moment: datetime) -> np.datetime64:
    import numpy as np

    return np.datetime64(clock.naive(moment), "us")
