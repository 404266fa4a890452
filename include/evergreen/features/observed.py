"""What a feature view observes: each version of a row as the span of time in which it is what is known.

All times are whole microseconds since 1970. A version counts from `start` (when it was known, or the view's own
`known_at` where that is later) until a later version counts. One that was superseded before it ever counted never
does. The row's `place`, by which windows and `latest` order rows, is where its first version started: a correction
changes what a row says, never when it happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evergreen.errors import ParamsError
from evergreen.features.engine import Sql, evaluate, finite, micros
from evergreen.params.features import View

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from evergreen.features.engine import Scratch
    from evergreen.params import Params

FOREVER = 2**62  # the end of a version that nothing has superseded


@dataclass(frozen=True)
class Known:
    """What the views of one feature table share: `rows` are those of `prediction_rows`."""

    tables: Mapping[str, ir.Table]
    params: Params
    rows: ir.Table
    corrected: frozenset[str]  # tables that hold a second version of a row
    first: int | None  # the first of the rows' moments, in microseconds; None without rows


def observe(
    keep: Scratch, known: Known, name: str, view: View, values: Mapping[str, Sql], reach: int | None
) -> ir.Table:
    """The versions of table `name` as `view` sees them, without those whose entity is null.

    Columns: `e0`.. the entity, `k0`.. the row's key, the `values`, and `start`, `until`, `place`.
    Rows placed `reach` microseconds or more before the first moment are left out: no question reaches them.
    """
    spec, place = known.params.tables[name], values_place(values)
    wanted: dict[str, Sql] = dict(values)
    if view.known_at is not None:
        wanted["own"] = Sql(view.known_at, f"{place}.known_at")
    columns = {f"e{i}": column for i, (column, _) in enumerate(view.pairs())}
    columns |= {f"k{i}": column for i, column in enumerate(spec.key)}
    columns |= {"known": "_known_at", "version": "_version"}
    seen = evaluate(known.tables[name], wanted, known.params.time_zone, columns)
    seen = seen.mutate(**{value: finite(seen[value]) for value in values})
    seen = seen.mutate(known=micros(seen.known), start=_start(seen))
    seen = _spans(seen, name in known.corrected, [f"k{i}" for i in range(len(spec.key))])
    seen = seen.filter([seen[entity].notnull() for entity in entities(view)])
    if reach is not None and known.first is not None:
        seen = seen.filter(seen.place > known.first - reach)
    return keep.keep(seen)


def values_place(values: Mapping[str, Sql]) -> str:
    """Where the view of `values` stands in params.yaml: `features.trailing.load` of `features.trailing.load.count`."""
    return ".".join(next(iter(values.values())).place.split(".")[:3])


def entities(view: View) -> list[str]:
    """Names of the entity's columns: `e0`, `e1`, ..."""
    return [f"e{i}" for i in range(len(view.pairs()))]


def queries(known: Known, view: View, seen: ir.Table, place: str) -> ir.Table:
    """The rows to be predicted as questions to a view: `n`, `at` and the entity.

    Raises ParamsError where the two sides of the entity differ in type, since equal values could then differ.
    """
    rows = known.rows
    columns = {entity: rows[mine] for entity, (_, mine) in zip(entities(view), view.pairs(), strict=True)}
    for (theirs, mine), (entity, column) in zip(view.pairs(), columns.items(), strict=True):
        types = [str(side.type().copy(nullable=True)) for side in (seen[entity], column)]
        if types[0] != types[1]:
            raise ParamsError(
                f"{place}.by: `{theirs}` is {types[0]} and the rows' `{mine}` is {types[1]}; "
                "add a `derived` column that casts one of them"
            )
    return rows.select(n=rows["__n"], at=rows["__at"], **columns)


def _start(seen: ir.Table) -> Any:
    """When a version counts; null, so never, where the view's own time is null."""
    import ibis

    if "own" not in seen.columns:
        return micros(seen.known)
    own = micros(seen.own)
    return ibis.ifelse(own.isnull(), ibis.null("int64"), ibis.greatest(own, micros(seen.known)))


def _spans(seen: ir.Table, corrected: bool, key: list[str]) -> ir.Table:
    import ibis

    seen = seen.drop("own") if "own" in seen.columns else seen
    if not corrected:  # nothing has a second version: spare the sorting
        seen = seen.filter(seen.start.notnull())
        return seen.mutate(until=ibis.literal(FOREVER), place=seen.start).drop("known", "version")
    window = ibis.window(group_by=key, order_by="version")
    seen = seen.mutate(superseded=seen.known.lead().over(window))
    seen = seen.filter(seen.start.notnull(), seen.superseded.isnull() | (seen.start < seen.superseded))
    seen = seen.mutate(
        until=seen.start.lead().over(window).fill_null(FOREVER), place=seen.start.min().over(ibis.window(group_by=key))
    )
    return seen.drop("known", "version", "superseded")
