"""Score: predict the rows whose moment lies in the window that ends at `as_of`, with the champion of that moment.

A row is predicted once per build, however often this runs and wherever it is killed: rows that have a prediction are
left alone, and new ones are committed in one manifest. It needs the lake, the ledger and the champions' bundles; MLflow
may be down.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from evergreen.clock import format_time, naive
from evergreen.disk import full_disk_is_said
from evergreen.features.engine import connect
from evergreen.features.rows import never_predicted
from evergreen.features.table import feature_table
from evergreen.lake.known import known_rows, refused_files
from evergreen.lake.predictions import add_predictions, prediction_schema, read_predictions, remove_orphans
from evergreen.ledger import Ledger
from evergreen.locks import lock
from evergreen.monitoring.freshness import late_tables, newest_known
from evergreen.monitoring.reigns import Reign, reigns
from evergreen.monitoring.served import as_served, feature_tables
from evergreen.project import Project
from evergreen.registry.bundle import Bundle, load_bundle
from evergreen.training.artifacts import predict
from evergreen.training.predictions import as_column, no_column

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


class ScoreResult(BaseModel):
    """What was predicted of the rows with a moment in (after, as_of]."""

    model_config = ConfigDict(frozen=True)

    as_of: str
    after: str
    rows: int  # predicted and stored now
    by_build: dict[str, int]
    skipped: int  # had their prediction already
    unscored: int  # lie before the first promotion
    missed: int  # known only after their moment, so never predicted
    late: dict[str, str]  # table: how far its newest row lies behind
    refused: list[str]  # files that the predictions are made without, and why
    reason: str  # why nothing was predicted; empty where something was


@full_disk_is_said()
def score(project: Project, as_of: datetime, window: timedelta | None = None) -> ScoreResult:
    """Predict and store; `window` (default `scoring.window`) says how far back unscored rows are looked for.

    Files that are not validated, or were refused, are left out and named: serving goes on without them. Raises
    RegistryError where a champion's bundle is not what was recorded, and LakeError where a file of the lake is
    missing or was altered.
    """
    after = as_of - (window if window is not None else project.params.scoring.window)
    ledger = Ledger.open(project.home)
    with lock(project.home, f"{project.name}/score"):
        project.refresh()
        for name in remove_orphans(project.lake):
            log.info("removed %s, left by a run that was killed", name)
        spans = reigns(ledger, project.name, after, as_of)
        scored = [_score_reign(project, reign, as_of) for reign in spans if reign.champion]
        unscored = sum(_count(project, reign, as_of) for reign in spans if not reign.champion)
        add_predictions(project.lake, as_of, [table for table, _ in scored])
    late, refused = _late(project, as_of), refused_files(project, project.params.tables)
    missed = _missed(project, after, as_of)
    for text in refused:
        log.warning("predicted without a file of the table %s", text)
    by_build: dict[str, int] = {}
    for table, _ in scored:
        if table.num_rows:
            build = table["build"][0].as_py()
            by_build[build] = by_build.get(build, 0) + table.num_rows
    rows, skipped = sum(by_build.values()), sum(already for _, already in scored)
    return ScoreResult(
        as_of=format_time(as_of),
        after=format_time(after),
        rows=rows,
        by_build=by_build,
        skipped=skipped,
        unscored=unscored,
        missed=missed,
        late=late,
        refused=refused,
        reason="" if rows else _reason(project, after, as_of, bool(scored), skipped, unscored, missed),
    )


def _score_reign(project: Project, reign: Reign, as_of: datetime) -> tuple[pa.Table, int]:
    """The new predictions of a champion, and how many of its rows had theirs already."""
    import pyarrow.compute as pc

    champion = reign.champion
    assert champion is not None
    bundle = load_bundle(project.home, project.name, champion.build, champion.bundle)
    served = as_served(project, bundle.params)
    con = connect()
    tables = known_rows(con, served, as_of, feature_tables(served.params), refuse=False)
    rows = feature_table(tables, served.params, after=reign.after, until=reign.until).to_pyarrow()
    done = read_predictions(project.lake, reign.after, reign.until, build=champion.build, columns=["_key"])
    already = pc.is_in(rows["_key"], value_set=done["_key"])
    new = rows.filter(pc.invert(already))
    said = _predictions(new, served.params.features.names(), bundle, champion.version, as_of)
    return said, rows.num_rows - new.num_rows


def _predictions(rows: pa.Table, names: list[str], bundle: Bundle, version: int | None, as_of: datetime) -> pa.Table:
    import pyarrow as pa

    inputs = rows.select(names).combine_chunks()
    chunks = inputs.to_struct_array()
    struct = chunks.combine_chunks() if isinstance(chunks, pa.ChunkedArray) else chunks
    count = rows.num_rows
    classes = len(bundle.training.classes)
    p = as_column(predict(bundle.model(), inputs.to_pandas())) if count else no_column(0, classes)
    columns = {
        "_key": rows["_key"],
        "_time": rows["_time"],
        "build": [bundle.build] * count,
        "version": [version] * count,
        "p": p,
        "_scored_as_of": [naive(as_of)] * count,
        "inputs": struct,
    }
    schema = prediction_schema(struct.type, classes)
    return pa.table([_column(columns[field.name], field.type) for field in schema], schema=schema)


def _column(values: object, type_: pa.DataType) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(type_)
    return pa.array(values, type_)


def _count(project: Project, reign: Reign, as_of: datetime) -> int:
    con = connect()
    tables = known_rows(con, project, as_of, feature_tables(project.params), refuse=False)
    return int(feature_table(tables, project.params, after=reign.after, until=reign.until).count().execute())


def _late(project: Project, as_of: datetime) -> dict[str, str]:
    """The tables that lag, each also as a warning in the log."""
    watched = [name for name, table in project.params.tables.items() if table.freshness is not None]
    if not watched:
        return {}
    con = connect()
    newest = newest_known(known_rows(con, project, as_of, watched, refuse=False), watched)
    late = late_tables(newest, project.params.tables, as_of)
    for name, text in late.items():
        log.warning("table `%s` is late: %s", name, text)
    return late


def _missed(project: Project, after: datetime, as_of: datetime) -> int:
    """How many rows were known only after their moment in the window, also as a warning in the log."""
    name = project.params.prediction.rows
    lost = never_predicted(known_rows(connect(), project, as_of, [name], refuse=False), project.params, after, as_of)
    if lost.known_late:
        log.warning(
            "%d rows of `%s` were known only after their moment and are not predicted, such as %s",
            lost.known_late, name, lost.example,
        )  # fmt: skip
    return lost.known_late


def _reason(
    project: Project, after: datetime, as_of: datetime, champion: bool, skipped: int, unscored: int, missed: int
) -> str:
    if not champion:
        return f"no champion yet: {unscored} rows lie before the first promotion"
    if skipped:
        return "every row of the window had its prediction already"
    name = project.params.prediction.rows
    empty = f"no row of `{name}` has its moment of prediction after {format_time(after)} and by {format_time(as_of)}"
    if missed:
        return f"{empty} and was known by it; {missed} were known only after it"
    newest = newest_known(known_rows(connect(), project, as_of, [name], refuse=False), [name])[name]
    known = f"the newest was known at {format_time(newest.replace(tzinfo=UTC))}" if newest else "none is known at all"
    return f"{empty}; {known}"
