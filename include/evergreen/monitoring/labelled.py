"""The rows that a window is about: whose label became known in it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.clock import naive
from evergreen.features.engine import connect
from evergreen.features.labels import labels_table
from evergreen.features.rows import prediction_rows
from evergreen.lake.known import known_rows
from evergreen.project import Project

if TYPE_CHECKING:
    import ibis.expr.types as ir


def moments(served: Project, as_of: datetime) -> ir.Table:
    """The rows with a label known at `as_of`: `_key`, `_time`, `_label`, `_label_known_at`."""
    return _rows(served, _tables(served, as_of), as_of)


def labelled_rows(served: Project, start: datetime, end: datetime) -> ir.Table:
    """As `moments` at `end`, and `_due`: the label was not known yet at `start`."""
    tables, name = _tables(served, end), served.params.label_table
    before = {**tables, name: tables[name].filter(tables[name]["_known_at"] <= naive(start))}
    old = labels_table(before, served.params, known_until=start).select(_old="_key")
    rows = _rows(served, tables, end)
    joined = rows.left_join(old, [("_key", "_old")])
    return joined.select(*rows.columns, _due=joined["_old"].isnull())


def _tables(served: Project, as_of: datetime) -> dict[str, ir.Table]:
    return known_rows(connect(), served, as_of, {served.params.prediction.rows, served.params.label_table})


def _rows(served: Project, tables: dict[str, ir.Table], as_of: datetime) -> ir.Table:
    rows = prediction_rows(tables, served.params).select("_key", "_time")
    return rows.inner_join(labels_table(tables, served.params, known_until=as_of), "_key")
