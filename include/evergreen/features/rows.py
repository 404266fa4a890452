"""The rows to be predicted, each at its moment and as it was known then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.clock import format_time, naive
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


class NeverPredicted(NamedTuple):
    """Rows that get no prediction, whenever it is asked for, and one of those that were known too late."""

    without_moment: int  # `prediction.at` has no value
    known_late: int  # known only after it
    example: str = ""


def never_predicted(
    tables: Mapping[str, ir.Table], params: Params, after: datetime | None = None, until: datetime | None = None
) -> NeverPredicted:
    """The rows that `prediction_rows` leaves out in every span; those known late with `after < t <= until` only."""
    import ibis

    name = params.prediction.rows
    key = list(params.tables[name].key)
    rows = evaluate(tables[name], {"_time": Sql(params.prediction.at, "prediction.at")}, params.time_zone)
    rows = rows.select(*key, "_known_at", _time=rows["_time"].cast("timestamp(6)"))
    if not (rows["_time"].isnull() | (rows["_known_at"] > rows["_time"])).any().to_pyarrow().as_py():
        return NeverPredicted(0, 0)
    rows = rows.anti_join(prediction_rows(tables, params).select(*key), key)
    lost = rows.group_by(key).agg(_time=rows["_time"].max(), _known_at=rows["_known_at"].min())
    late = lost.filter(lost["_time"].notnull())
    if after is not None:
        late = late.filter(late["_time"] > naive(after))
    if until is not None:
        late = late.filter(late["_time"] <= naive(until))
    late = late.mutate(_key=key_text(late, key)).order_by(ibis.desc("_time"), *key)
    newest, example = late.limit(1).to_pyarrow().to_pylist(), ""
    if newest:
        known, moment = (format_time(newest[0][one].replace(tzinfo=UTC)) for one in ("_known_at", "_time"))
        example = f"{newest[0]['_key']}: known at {known}, to be predicted at {moment}"
    missing = lost.filter(lost["_time"].isnull()).count().to_pyarrow().as_py()
    return NeverPredicted(missing, late.count().to_pyarrow().as_py(), example)


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
