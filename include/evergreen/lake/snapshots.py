"""A snapshot: the rows known at a moment, written so that the same rows give the same bytes.

`data/<table>/<YYYY-MM>.parquet` holds the versions of the keys that were first known in that month (UTC), sorted by
key and version. `snapshot.json` beside it names every file with its hash, and neither the moment nor the clock: a
night that brought no row changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from evergreen.errors import LakeError
from evergreen.faults import point
from evergreen.files import naming, sync_folder, write_atomic
from evergreen.lake.canonical import write_parquet
from evergreen.lake.known import derived_columns, empty_rows
from evergreen.lake.schema import arrow_schema
from evergreen.paths import file_sha256
from evergreen.sql import literal, quote

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends.duckdb import Backend

    from evergreen.params.tables import Table
    from evergreen.project import Project

AGAIN = "run `dvc pull`, or take the snapshot again with `evergreen snapshot`"


class SnapshotTable(BaseModel):
    """One table of a snapshot: its versions, and its files with their hashes."""

    model_config = ConfigDict(frozen=True)

    rows: int
    files: dict[str, str]


class SnapshotInfo(BaseModel):
    """The content of snapshot.json."""

    model_config = ConfigDict(frozen=True)

    id: str  # SHA-256 over the sorted paths and hashes
    cutoff: datetime  # when the last of it became known, a row or a label that its row's table had before
    tables: dict[str, SnapshotTable]


def read_snapshot(project: Project) -> SnapshotInfo:
    """The committed snapshot.json; LakeError where it is missing or no such file."""
    try:
        return SnapshotInfo.model_validate_json(project.snapshot.read_bytes())
    except FileNotFoundError:
        raise LakeError(f"{project.snapshot} is missing: take a snapshot with `evergreen snapshot`") from None
    except ValidationError as error:
        raise LakeError(f"{project.snapshot} is no snapshot ({error.error_count()} errors): {AGAIN}") from None


def write_snapshot(
    con: Backend, tables: Mapping[str, ir.Table], project: Project, settled: datetime | None = None
) -> SnapshotInfo:
    """Write the tables of `known_rows` to the project's data folder and snapshot.json.

    `settled` is when the newest label was, for labels that are known later than their row: with no new row, the
    cut-off still moves on with them.
    The folder is made beside the old one and put in its place; files that did not change stay the same files. A kill
    leaves the old snapshot, or the new data without its description, which `load_snapshot` refuses: run it again.
    """
    fresh, old = project.root / ".data.new", project.root / ".data.old"
    _restore(project.data, old)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    specs = project.params.tables
    done = {name: _write_table(con, tables[name], specs[name], fresh / name) for name in sorted(tables)}
    info = SnapshotInfo(id=_identity(done), cutoff=_cutoff(tables, settled), tables=done)
    _keep_unchanged(fresh, project.data, done)
    point("snapshot.written")
    if project.data.exists():
        os.rename(project.data, old)
        point("snapshot.set_aside")
    os.rename(fresh, project.data)
    sync_folder(project.root)
    point("snapshot.placed")
    write_atomic(project.snapshot, info.model_dump_json(indent=1) + "\n")
    point("snapshot.described")
    shutil.rmtree(old, ignore_errors=True)
    return info


def load_snapshot(con: Backend, project: Project) -> dict[str, ir.Table]:
    """The snapshot's tables in the shape of `known_rows`, every file checked against its recorded hash.

    Raises LakeError naming a file that is missing, altered or not of the snapshot.
    """
    info, found = read_snapshot(project), {}
    for name, spec in project.params.tables.items():
        if name not in info.tables:
            raise LakeError(f"{project.snapshot} has no table `{name}`: {AGAIN}")
        paths = [_checked(project.data / name / file, sha) for file, sha in sorted(info.tables[name].files.items())]
        made = f"__snapshot_{info.id[:12]}_{name}"
        con.raw_sql(f"create or replace temp table {quote(made)} as {_select(project, name, spec, paths)}")
        found[name] = con.table(made)
    return found


def snapshot_schema(spec: Table) -> pa.Schema:
    """Columns of a table's snapshot files: the declared ones, `_known_at`, `_version`."""
    import pyarrow as pa

    extra = [pa.field("_known_at", pa.timestamp("us")), pa.field("_version", pa.int64())]
    return pa.schema([*arrow_schema(spec.columns), *extra])


def _select(project: Project, name: str, spec: Table, paths: list[Path]) -> str:
    source = f"({empty_rows(spec, _known_at='TIMESTAMP', _version='BIGINT')})"
    if paths:
        source = f"read_parquet([{', '.join(literal(str(path)) for path in paths)}])"
    columns = ", ".join(quote(column) for column in spec.columns)
    return f"select {columns}{derived_columns(project.params, name)}, _known_at, _version from {source}"


def _write_table(con: Backend, table: ir.Table, spec: Table, folder: Path) -> SnapshotTable:
    schema = snapshot_schema(spec)
    key = ", ".join(map(quote, spec.key))
    columns = ", ".join(quote(column) for column in schema.names)
    con.raw_sql(
        f"create or replace temp table __placed as select {columns}, "
        f"strftime(min(_known_at) over (partition by {key}), '%Y-%m') as __month from ({con.compile(table)})"
    )
    months = con.raw_sql("select distinct __month from __placed order by 1").fetchall()
    rows, files = 0, {}
    for (month,) in months:
        query = f"select {columns} from __placed where __month = {literal(month)} order by {key}, _version"
        path = folder / f"{month}.parquet"
        with naming(path):
            rows += write_parquet(path, schema, con.raw_sql(query).to_arrow_reader(100_000))
        files[path.name] = file_sha256(path)
    con.raw_sql("drop table __placed")
    return SnapshotTable(rows=rows, files=files)


def _identity(tables: Mapping[str, SnapshotTable]) -> str:
    lines = [f"{name}/{file} {sha}" for name, table in tables.items() for file, sha in table.files.items()]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _cutoff(tables: Mapping[str, ir.Table], settled: datetime | None) -> datetime:
    newest: list[datetime | None] = [table["_known_at"].max().to_pyarrow().as_py() for table in tables.values()]
    last = max(moment for moment in newest if moment is not None).replace(tzinfo=UTC)
    return last if settled is None else max(last, settled)


def _keep_unchanged(fresh: Path, current: Path, tables: Mapping[str, SnapshotTable]) -> None:
    """Put today's file in place of an equal new one, so that its date says that nothing changed."""
    for name, table in tables.items():
        for file, sha in table.files.items():
            there = current / name / file
            if there.is_file() and file_sha256(there) == sha:
                (fresh / name / file).unlink()
                os.link(there, fresh / name / file)


def _restore(current: Path, old: Path) -> None:
    """After a kill between the two renames the old folder is the snapshot."""
    if old.exists() and not current.exists():
        os.rename(old, current)
    shutil.rmtree(old, ignore_errors=True)


def _checked(path: Path, sha256: str) -> Path:
    if not path.is_file():
        raise LakeError(f"{path} is missing from the snapshot: {AGAIN}")
    if file_sha256(path) != sha256:
        raise LakeError(f"{path} is not the file of the snapshot (its hash differs): {AGAIN}")
    return path
