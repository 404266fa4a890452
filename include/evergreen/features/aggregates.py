"""The two computations under every view, both a union of questions and events under one window.

A *question* is `n`, `at` and an entity (`e0`..); a *span* is an entity, `start`, `until` (FOREVER: no end),
`place` and `value`: what counts for the questions with `start <= at < until`. Every result is `n` and the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from evergreen.features.engine import union_all
from evergreen.features.observed import FOREVER

if TYPE_CHECKING:
    import ibis.expr.types as ir


def cut(spans: ir.Table, over: int | None) -> ir.Table:
    """The spans ended `over` microseconds after their place, without those that are then empty."""
    import ibis

    if over is None:
        return spans
    spans = spans.mutate(until=ibis.least(spans.until, spans.place + over))
    return spans.filter(spans.start < spans.until)


def totals(questions: ir.Table, spans: ir.Table, entity: list[str]) -> ir.Table:
    """`n`, `total` and `count` of the values that count for each question; `value` is an integer or a decimal.

    A value is added when it starts and taken off when it ends, in one running total. That is exact, so neither the
    order of equal times nor what came before or after can move a digit.
    """
    import ibis

    def event(table: ir.Table, at: Any, n: Any, value: Any, one: int) -> ir.Table:
        value = value.cast(spans.value.type().copy(nullable=True))
        return table.select(*entity, at=at, n=n, value=value, one=ibis.literal(one, "int64"))

    none, ended = ibis.null("int64"), spans.filter(spans.until < FOREVER)
    starts = event(spans, spans.start, none, spans.value, 1)
    ends = event(ended, ended.until, none, -ended.value, -1)
    both = union_all([starts, ends, event(questions, questions.at, questions.n, ibis.literal(0), 0)])
    window = _running(both, entity)
    answered = both.select("n", total=both.value.sum().over(window), count=both.one.sum().over(window))
    return answered.filter(answered.n.notnull())


def extreme(
    questions: ir.Table, spans: ir.Table, entity: list[str], how: Literal["min", "max"], over: int | None
) -> ir.Table:
    """`n` and the least or greatest `value` that counts for each question, null where none does.

    Spans that live their full length from their place go through one window. The others, which corrections left,
    are few and are joined; where `over` is given the join is on time slots of that length, so that a question
    meets its neighbours only.
    """
    spans = cut(spans, over)
    whole = (
        spans.until == FOREVER if over is None else (spans.start == spans.place) & (spans.until == spans.place + over)
    )
    parts = [_windowed(questions, spans.filter(whole), entity, how, over)]
    broken = spans.filter(~whole)
    if broken.count().execute():
        parts.append(_joined(questions, broken, entity, how, over))
    both = union_all(parts)
    return both.group_by("n").agg(value=getattr(both.value, how)())


def _running(both: ir.Table, entity: list[str]) -> Any:
    """Everything of the entity up to and including the row's time."""
    import ibis

    return ibis.range_window(group_by=entity, order_by=both.at, preceding=None, following=0)


def _windowed(questions: ir.Table, spans: ir.Table, entity: list[str], how: str, over: int | None) -> ir.Table:
    import ibis

    events = spans.select(*entity, at=spans.start, n=ibis.null("int64"), value=spans.value)
    asked = questions.select(*entity, at=questions.at, n=questions.n, value=ibis.null(spans.value.type()))
    both = union_all([events, asked])
    window = (
        _running(both, entity)
        if over is None
        else ibis.range_window(group_by=entity, order_by=both.at, preceding=over - 1, following=0)
    )
    answered = both.select("n", value=getattr(both.value, how)().over(window))
    return answered.filter(answered.n.notnull())


def _joined(questions: ir.Table, spans: ir.Table, entity: list[str], how: str, over: int | None) -> ir.Table:
    if over is not None:
        first, last = spans.mutate(slot=spans.start // over), spans.mutate(slot=(spans.until - 1) // over)
        spans = union_all([first, last.filter(last.slot != last.start // over)])
        questions = questions.mutate(slot=questions.at // over)
        entity = [*entity, "slot"]
    others = spans.rename({f"of_{name}": name for name in spans.columns})
    alike = [questions[name] == others[f"of_{name}"] for name in entity]
    met = questions.join(others, [*alike, others.of_start <= questions.at, others.of_until > questions.at])
    return met.group_by("n").agg(value=getattr(met.of_value, how)())
