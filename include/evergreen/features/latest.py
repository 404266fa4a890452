"""The newest observation known at a moment: `latest`, and the values of `last` and `change`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.features.aggregates import extreme
from evergreen.features.engine import Sql, span_micros
from evergreen.features.observed import FOREVER, Known, entities, observe, queries
from evergreen.params.features import Latest, View

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from evergreen.features.engine import Scratch


def latest_view(keep: Scratch, known: Known, name: str, view: Latest) -> ir.Table:
    """`n` and the view's features: all of one observation, in the version known at the row's moment.

    It is the newest by first `known_at`, and of several at one instant the one with the greatest key. One known at
    exactly the moment counts, and so does one known exactly `max_age` before it.
    """
    place = f"features.latest.{name}"
    sources = {feature: Sql(text, f"{place}.{feature}") for feature, text in view.expressions().items()}
    values = {f"v{i}": sql for i, sql in enumerate(sources.values())}
    over = None if view.max_age is None else span_micros(view.max_age) + 1  # a span's end is not part of it
    seen = observe(keep, known, view.table or name, view, values, over)
    found = newest(keep, queries(known, view, seen, place), seen, view, list(values), over)
    return keep.keep(found.rename(dict(zip(sources, values, strict=True))))


def newest(
    keep: Scratch, questions: ir.Table, seen: ir.Table, view: View, values: list[str], over: int | None
) -> ir.Table:
    """`n` and the `values` of the newest observation in the `over` microseconds before each question's `at`.

    Every question is answered, with nulls where there is no observation.
    """
    import ibis

    key = sorted(column for column in seen.columns if column.startswith("k"))
    order = [seen.place, *(seen[column] for column in key)]
    ranked = keep.keep(seen.mutate(rank=ibis.dense_rank().over(order_by=order)))
    spans = _runs(ranked, entities(view))
    found = extreme(questions, spans, entities(view), "max", over)
    asked = keep.keep(questions.select("n", "at").inner_join(found.rename(found="value"), "n"))
    versions = ranked.select("rank", "start", "until", *values)
    matched = asked.left_join(
        versions,
        [
            asked.found == versions.rank,
            versions.start <= asked.at,
            versions.until > asked.at,
        ],
    )
    return matched.select("n", *values)


def _runs(ranked: ir.Table, entity: list[str]) -> ir.Table:
    """The versions as spans of `value` = rank, those of one row that follow each other for one entity joined.

    So a row that was corrected, but stayed with its entity, is one span like any other.
    """
    import ibis

    spans = ranked.select(*entity, "start", "until", "place", value=ranked["rank"])
    if not (spans.until < FOREVER).any().execute():
        return spans
    window = ibis.window(group_by="value", order_by="start")
    same = spans.until.lag().over(window) == spans.start
    for name in entity:
        same = same & (spans[name].lag().over(window) == spans[name])
    marked = spans.mutate(begins=(~same.fill_null(False)).cast("int64"))
    numbered = marked.mutate(
        run=marked.begins.sum().over(ibis.window(group_by="value", order_by="start", preceding=None, following=0))
    )
    joined = numbered.group_by(*entity, "value", "run", "place")
    return joined.agg(start=numbered.start.min(), until=numbered.until.max()).drop("run")
