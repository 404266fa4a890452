"""Aggregates of what became known in the span before a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.features.aggregates import cut, extreme, totals
from evergreen.features.engine import Sql, span_micros
from evergreen.features.latest import newest
from evergreen.features.observed import Known, entities, observe, queries
from evergreen.params.features import Trailing

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from evergreen.features.engine import Scratch

# Values are summed as fixed-point numbers: exact, whatever their order, and the same on every engine. So they are
# rounded to 9 decimals and must stay below 1e29.
EXACT = "decimal(38, 9)"


def trailing_view(keep: Scratch, known: Known, name: str, view: Trailing) -> ir.Table:
    """`n` and the feature `name` over the rows first known in (t - over, t], in their versions known at t.

    Null values are no values. Without any, `count` is 0 and the others are null. `mean` and `sum` are exact up to
    9 decimals of each value. `last` is the newest value; `change` is the newest value known at t less the newest
    known at t - over, each at most `over` old at its moment, and null where either is missing.
    """
    place = f"features.trailing.{name}"
    value = Sql(view.expression, f"{place}.{view.aggregate}")
    over = span_micros(view.over)
    reach = 2 * over if view.aggregate == "change" else over
    seen = observe(keep, known, str(view.table), view, {"value": value}, reach)
    seen = seen.filter(seen.value.notnull())
    questions = queries(known, view, seen, place)
    if view.aggregate in ("mean", "sum", "count"):
        found = _sums(questions, seen, view, over)
    elif view.aggregate in ("min", "max"):
        numbers = seen.mutate(value=seen.value.cast("float64"))
        found = extreme(questions, numbers, entities(view), "min" if view.aggregate == "min" else "max", over)
    else:
        found = newest(keep, questions, seen, view, ["value"], over)
    if view.aggregate == "change":
        found = _minus(found, newest(keep, questions.mutate(at=questions.at - over), seen, view, ["value"], over))
    return keep.keep(found.select("n", **{name: found.value}))


def _sums(questions: ir.Table, seen: ir.Table, view: Trailing, over: int) -> ir.Table:
    import ibis

    exact = seen.value.isnull().cast("int64") if view.aggregate == "count" else _exact(seen.value)
    found = totals(questions, cut(seen.mutate(value=exact), over), entities(view))
    count = found["count"].cast("float64")
    if view.aggregate == "count":
        return found.select("n", value=count)
    total = found.total.cast("float64")
    answer = total / count if view.aggregate == "mean" else total
    return found.select("n", value=ibis.ifelse(found["count"] > 0, answer, ibis.null("float64")))


def _exact(value: Any) -> Any:
    """A number or truth value such that sums of it are exact."""
    return value.cast("int64") if value.type().is_boolean() else value.cast(EXACT)


def _minus(now: ir.Table, before: ir.Table) -> ir.Table:
    both = now.inner_join(before.rename(earlier="value"), "n")
    return both.select("n", value=both.value.cast("float64") - both.earlier.cast("float64"))
