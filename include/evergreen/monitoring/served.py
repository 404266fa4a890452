"""The project as a champion knows it: a change of params.yaml does not change what a served model is fed."""

from __future__ import annotations

import dataclasses

from evergreen.params import Params
from evergreen.params.tables import Table
from evergreen.project import Project
from evergreen.sql import expand


def as_served(project: Project, champion: Params) -> Project:
    """`project` with the champion's own features, prediction and label; the rest is as params.yaml says today.

    A table's contract and clock are today's, its `derived` columns the champion's, since they are parts of features. A
    table that only the champion still uses is read as it was declared then. `time_zone` is the champion's too, for
    `local(...)` in features and label; whoever cuts days or windows takes the zone of `project`.
    """
    tables = {
        name: _today(project.params.tables[name], table, project.params.time_zone)
        if name in project.params.tables
        else table
        for name, table in champion.tables.items()
    }
    changes = {
        "tables": tables,
        "prediction": champion.prediction,
        "features": champion.features,
        "time_zone": champion.time_zone,
    }
    return dataclasses.replace(project, params=project.params.model_copy(update=changes))


def _today(table: Table, then: Table, time_zone: str) -> Table:
    """Today's table with the derived columns of `then`; `local(...)` in its clock is already today's zone."""
    clock = {"known_at": expand(table.known_at, time_zone)}
    if table.changed_at is not None:
        clock["changed_at"] = expand(table.changed_at, time_zone)
    return table.model_copy(update={**clock, "derived": then.derived})


def feature_tables(params: Params) -> list[str]:
    """The tables that the feature table reads, the label's included, in the order of params.yaml."""
    views = [view.table or name for name, view in params.features.latest.items()]
    views += [str(view.table) for view in params.features.trailing.values()]
    used = {params.prediction.rows, params.label_table, *views}
    return [name for name in params.tables if name in used]
