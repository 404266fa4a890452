"""`evergreen snapshot`: the rows known at `as_of`, into data/ and snapshot.json."""

from __future__ import annotations

import logging
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from evergreen.clock import format_time
from evergreen.disk import full_disk_is_said
from evergreen.errors import LakeError
from evergreen.project import Project

log = logging.getLogger(__name__)


class SnapshotResult(BaseModel):
    """What was written, and which tables were late at `as_of`."""

    model_config = ConfigDict(frozen=True)

    id: str
    cutoff: datetime
    rows: dict[str, int]
    late: dict[str, str] = {}  # table: how late, in words


def lock_name(project: Project) -> str:
    """The lock of the one who writes this checkout's data/."""
    return f"snapshot{str(project.root).replace('/', '~')}"


@full_disk_is_said()
def snapshot(project: Project, as_of: datetime) -> SnapshotResult:
    """Write what was known at `as_of`; the same rows give the same bytes and the same id.

    Raises ContractError where a table has a file that is not validated or broke its contract critically, LakeError
    where no row to predict is known.
    """
    from evergreen.features.engine import connect
    from evergreen.features.labels import newest_label
    from evergreen.lake.known import known_rows
    from evergreen.lake.snapshots import write_snapshot
    from evergreen.locks import lock
    from evergreen.monitoring.freshness import late_tables, newest_known

    project.refresh()
    con = connect()
    tables = known_rows(con, project, as_of)
    rows = project.params.prediction.rows
    if not tables[rows].count().to_pyarrow().as_py():
        raise LakeError(
            f"no row of `{rows}` was known at {format_time(as_of)}: ingest and validate it, or choose a later as_of"
        )
    own_time = project.params.prediction.label.known_at is not None  # else a label is known when its row is
    settled = newest_label(tables, project.params, as_of) if own_time else None
    with lock(project.home, lock_name(project)):
        info = write_snapshot(con, tables, project, settled)
    late = late_tables(newest_known(tables, tables), project.params.tables, as_of)
    for name, text in late.items():
        log.warning("table `%s` is late: %s", name, text)
    return SnapshotResult(
        id=info.id,
        cutoff=info.cutoff,
        rows={name: table.rows for name, table in info.tables.items()},
        late=late,
    )
