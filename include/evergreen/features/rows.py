"""The rows to be predicted, each at its moment and as it was known then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.clock import naive
from evergreen.features.engine import Sql, evaluate, micros

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from evergreen.params import Params


def prediction_rows(
    tables: Mapping[str, ir.Table], params: Params, after: datetime | None = None, until: datetime | None = None
) -> ir.Table:
    """One row per row known at its moment t, with `after < t <= until` where given.

    Columns: `__n` (a number), `_key`, `_time` (t), `__at` (t in microseconds), and those of the table. A version
    counts when it is the one known at the t that it states itself; of several (the moment was moved after it had
    passed) the first, since its prediction was made. A row without a t, or known only after it, is left out.
    """
    import ibis

    name = params.prediction.rows
    spec = params.tables[name]
    rows = evaluate(tables[name], {"_time": Sql(params.prediction.at, "prediction.at")}, params.time_zone)
    rows = rows.cast({"_time": "timestamp(6)"})
    rows = rows.filter(rows["_known_at"] <= rows["_time"])
    if tables[name].filter(tables[name]["_version"] > 1).count().execute():
        rows = _known_at_own_time(rows, tables[name], list(spec.key))
    if after is not None:
        rows = rows.filter(rows["_time"] > naive(after))
    if until is not None:
        rows = rows.filter(rows["_time"] <= naive(until))
    rows = rows.mutate(_key=key_text(rows, spec.key), __at=micros(rows["_time"]))
    order = [rows["_time"], *(rows[column] for column in spec.key)]
    return rows.mutate(__n=ibis.row_number().over(order_by=order))


def key_text(table: ir.Table, columns: Sequence[str]) -> Any:
    r"""The columns as one text: joined by `|`, with `\` and `|` inside values escaped by `\`."""
    import ibis

    parts = [table[c].cast("string").replace("\\", "\\\\").replace("|", "\\|").fill_null("") for c in columns]
    return ibis.literal("|").join(parts) if len(parts) > 1 else parts[0]


def _known_at_own_time(rows: ir.Table, table: ir.Table, key: list[str]) -> ir.Table:
    import ibis

    window = ibis.window(group_by=key, order_by="_version")
    ends = table.select(*key, "_version", __next=table["_known_at"].lead().over(window))
    rows = rows.inner_join(ends, [*key, "_version"])
    rows = rows.filter(rows["__next"].isnull() | (rows["_time"] < rows["__next"]))
    first = rows.mutate(__first=ibis.row_number().over(window))
    return first.filter(first["__first"] == 0).drop("__next", "__first")
