"""The feature table: one row per prediction, and nothing in it that was not known at its moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import ParamsError
from evergreen.features.engine import Scratch, Sql, evaluate, finite, materialise, micros, scratch
from evergreen.features.labels import LABEL, known_labels, label_by, not_yet_known
from evergreen.features.latest import latest_view
from evergreen.features.observed import Known
from evergreen.features.rows import prediction_rows
from evergreen.features.trailing import trailing_view

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from evergreen.params import Params


def feature_table(
    tables: Mapping[str, ir.Table],
    params: Params,
    *,
    after: datetime | None = None,
    until: datetime | None = None,
    known_until: datetime | None = None,
) -> ir.Table:
    """`_key`, `_time`, the features in order and the label's LABEL columns; sorted by `_time`, `_key`.

    `tables` are those of `known_rows` or `load_snapshot`. There is a row for every row known at its moment t with
    `after < t <= until` where given; the span changes which rows there are, never a value. Categories are text,
    every other feature a float64 (true is 1.0, a moment seconds since 1970), and what is not finite is null. A label
    that is known only after `known_until` is null, as are its times, and so is one that was known by t already. Raises
    ParamsError naming the expression that cannot be computed.
    """
    con = tables[params.prediction.rows].get_backend()
    with scratch(con) as keep:
        rows = keep.keep(prediction_rows(tables, params, after, until))
        wide = _with_views(keep, _known(tables, params, rows))
        features = {name: Sql(text, f"features.row.{name}") for name, text in params.features.row.items()}
        kept = {name: name for name in ("__n", "_key", "_time", *_view_features(params))}
        table = _typed(evaluate(wide, features, params.time_zone, kept), params)
        table = _with_labels(table, rows, known_labels(tables, params, known_until), params)
        return materialise(con, table.order_by("_time", "_key"))


def _known(tables: Mapping[str, ir.Table], params: Params, rows: ir.Table) -> Known:
    """The tables up to the last moment: what became known after it concerns no row."""
    ends = rows.aggregate(first=rows["__at"].min(), last=rows["_time"].max()).to_pyarrow().to_pylist()[0]
    if ends["last"] is not None:
        tables = {name: table.filter(table["_known_at"] <= ends["last"]) for name, table in tables.items()}
    corrected = frozenset(name for name, table in tables.items() if (table["_version"] > 1).any().to_pyarrow().as_py())
    return Known(tables, params, rows, corrected, ends["first"])


def _with_views(keep: Scratch, known: Known) -> ir.Table:
    """The rows with the features of every view."""
    features, wide = known.params.features, known.rows
    made = [latest_view(keep, known, name, view) for name, view in features.latest.items()]
    made += [trailing_view(keep, known, name, view) for name, view in features.trailing.items()]
    for view in made:
        view = view.rename(__of="n")
        wide = wide.inner_join(view, wide["__n"] == view["__of"]).drop("__of")
    return keep.keep(wide)


def _view_features(params: Params) -> list[str]:
    row = params.features.row
    return [name for name in params.features.all_names() if name not in row]


def _typed(table: ir.Table, params: Params) -> ir.Table:
    columns = {name: _feature(table[name], name, params) for name in params.features.names()}
    return table.select("__n", "_key", "_time", **columns)


def _feature(column: Any, name: str, params: Params) -> Any:
    if name in params.features.categorical:
        return column.cast("string")
    if name in params.features.times and column.type().is_timestamp():
        return micros(column).cast("float64") / 1e6
    if not (column.type().is_numeric() or column.type().is_boolean() or column.type().is_null()):
        raise ParamsError(
            f"the feature `{name}` is {column.type()}: make it a number or true/false, or list it under "
            "features.categorical, or a moment under features.times"
        )
    return finite(column.cast("float64"))


def _with_labels(table: ir.Table, rows: ir.Table, labels: ir.Table, params: Params) -> ir.Table:
    by = label_by(params)
    labels = labels.rename({f"__{theirs}": theirs for theirs in by})
    mine = rows.select("__n", "_time", *by.values())
    known = mine.inner_join(labels, [(column, f"__{theirs}") for theirs, column in by.items()])
    known = not_yet_known(known).select(*LABEL, __of="__n")
    return table.left_join(known, table["__n"] == known["__of"]).drop("__n", "__of")
