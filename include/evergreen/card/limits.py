"""What a card must warn of, derived from the figures themselves; people add theirs in params.yaml."""

from __future__ import annotations

from collections.abc import Iterator

from evergreen.card.facts import Facts
from evergreen.params.base import format_duration
from evergreen.training.evaluation.records import Figure


def limits_of(facts: Facts) -> list[str]:
    """Sentences; those that people wrote come first."""
    return [*facts.params.card.limits, *_judged(facts), *_weak(facts)]


def _judged(facts: Facts) -> Iterator[str]:
    training, evaluation = facts.training, facts.evaluation
    if training.refit:
        yield (
            "The figures are the twin's: trained up to the gate window and judged on it. The model that serves has "
            f"learned from that window too ({training.rows:,} rows, the twin from {training.twin_rows:,}) and is "
            "itself not judged."
        )
    else:
        yield "It was not refit (training.refit): it was judged itself, and has learned nothing from the gate window."
    yield (
        f"One window of {evaluation.days} days judges it. Intervals resample its days: they say how sure a figure is "
        "for days like these, not for another season."
    )
    if facts.params.training.window:
        yield f"It has learned from {format_duration(facts.params.training.window)} alone."
    primary = evaluation.metrics.get(evaluation.primary, Figure(value=None))
    if primary.value is None:
        yield f"Its {evaluation.primary} is not defined for the judged rows, so nothing here says how good it is."
    elif primary.low is None:
        yield "The window is too short for intervals."


def _weak(facts: Facts) -> Iterator[str]:
    """Where it is no better than a simple rule, where it is weakest, and what could not be looked at."""
    evaluation = facts.evaluation
    for baseline in evaluation.baselines:
        for name in (evaluation.primary, *(("cost_per_1000",) if evaluation.cost else ())):
            found = baseline.difference.get(name)
            if found is None or found.high is None or found.high >= 0:
                yield f"It was not shown to be better than the baseline `{facts.called(baseline)}` in {name}."
    segments = evaluation.segments
    if segments.worst_pairs:
        yield f"Weakest pair of segments by {segments.by}: {segments.worst_pairs[0].name}."
    small = sum(not one.metrics for found in segments.columns.values() for one in found)
    if small:
        yield f"{small} segments have fewer than {segments.least_rows} judged rows: nothing is said of them."
    for column, count in segments.left_out.items():
        yield f"{count} rarer levels of {column} are not shown."
    for fair in evaluation.fairness:
        if any(not group.metrics for group in fair.groups):
            yield f"Some groups of {fair.column} have too few rows to be compared."
    if not evaluation.fairness:
        yield "No sensitive column is configured (evaluation.sensitive): nothing is said of fairness between groups."
