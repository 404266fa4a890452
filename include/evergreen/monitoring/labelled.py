"""The rows that can be judged: those with a label that was not known by their moment."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from evergreen.features.engine import connect
from evergreen.features.labels import labels_table, not_yet_known, strays
from evergreen.features.rows import prediction_rows
from evergreen.lake.known import known_rows, refused_files
from evergreen.project import Project

if TYPE_CHECKING:
    import ibis.expr.types as ir


def moments(served: Project, as_of: datetime) -> ir.Table:
    """The rows with a label known at `as_of`: `_key`, `_time` and the columns of `labels_table`.

    Files that are not validated, or broke their contract, are left out (see `left_out`).
    """
    tables = known_rows(connect(), served, as_of, _tables(served), refuse=False)
    rows = prediction_rows(tables, served.params).select("_key", "_time")
    return not_yet_known(rows.inner_join(labels_table(tables, served.params, known_until=as_of), "_key"))


def outcomes_astray(served: Project, after: datetime, as_of: datetime) -> dict[str, int]:
    """The outcomes first known in (after, as_of] that no label of the champion can be, and of how many rows."""
    if served.params.prediction.label.kind == "binary":
        return {}
    tables = known_rows(connect(), served, as_of, _tables(served), refuse=False)
    return strays(tables, served.params, as_of, after)


def left_out(served: Project) -> list[str]:
    """The files that `moments` does without, and why, a line a file."""
    return refused_files(served, _tables(served))


def _tables(served: Project) -> list[str]:
    return list(dict.fromkeys((served.params.prediction.rows, served.params.label_table)))
