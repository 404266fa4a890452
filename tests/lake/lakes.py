"""A lake made by hand: raw and clean files, their manifests and validation records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evergreen.lake.manifests import DataFile, commit, read_manifests
from evergreen.lake.schema import WRITER, arrow_schema
from evergreen.paths import file_sha256
from evergreen.project import Project
from evergreen.quality.records import FileValidation, write_record

Row = dict[str, Any]
DAY = datetime(2024, 1, 10)


def day(number: float) -> datetime:
    """Noon-free days from 10 January 2024, naive UTC."""
    return DAY + timedelta(days=number)


def at(number: float) -> datetime:
    """As `day`, aware."""
    return day(number).replace(tzinfo=UTC)


def deliver(
    project: Project, table: str, files: Sequence[Sequence[Row]], as_of: datetime, *, validated: bool = True
) -> list[str]:
    """Commit files of rows as one manifest, with clean files that hold all of them; returns the raw paths."""
    schema = arrow_schema(project.params.tables[table].columns)
    folder = project.lake / "raw" / table
    seq = len(read_manifests(folder)) + 1
    made = []
    for number, rows in enumerate(files):
        content = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)
        stem = f"{seq:04d}-{number:05d}"
        raw, clean = f"raw/{table}/{stem}.parquet", f"clean/{table}/{stem}.c0ffee.parquet"
        numbered = content.append_column("_row", pa.array(range(len(rows)), pa.int64()))
        for place, part in ((raw, content), (clean, numbered)):
            (project.lake / place).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(part, project.lake / place, **WRITER)
        file = project.lake / raw
        made.append(DataFile(path=raw, sha256=file_sha256(file), rows=len(rows), bytes=file.stat().st_size))
        if validated:
            record(project, table, raw, clean, len(rows))
    commit(folder, seq, as_of, made)
    return [file.path for file in made]


def record(project: Project, table: str, raw: str, clean: str | None, rows: int, critical: str | None = None) -> None:
    """Write the validation record of a raw file."""
    made = FileValidation(
        raw=raw, contract="c0ffee", clean=clean, clean_sha256=file_sha256(project.lake / clean) if clean else None,
        quarantine=None, quarantine_sha256=None, rows=rows, quarantined=0, critical=critical,
    )  # fmt: skip
    write_record(project.lake, table, made)


def job(id_: int, due: datetime | None, team: str = "red", size: float | None = 1.0) -> Row:
    return {"id": id_, "due": due, "team": team, "size": size}


def outcome(id_: int, due: datetime, late: float | None = 20.0, team: str = "red") -> Row:
    return {"id": id_, "due": due, "team": team, "late": late}
