"""Discarding a refused file: someone decides that it counts for nothing, and the table goes on without it.

The raw file stays, and so does every row: in quarantine, under the rule `discarded`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from pathlib import Path

from evergreen.errors import EvergreenError
from evergreen.faults import point
from evergreen.lake.manifests import DataFile, read_manifests
from evergreen.params.tables import Table
from evergreen.quality.checks import numbered, write_rows
from evergreen.quality.contract import REASON
from evergreen.quality.frame import SchemaBroken, read_raw
from evergreen.quality.records import Failure, FileValidation, write_record

log = logging.getLogger(__name__)

RULE = "discarded"


def discard(
    lake: Path, name: str, table: Table, records: Mapping[str, FileValidation], which: str, by: str, because: str | None
) -> dict[str, FileValidation]:
    """Write the records of the refused files that `which` names by raw place or origin; those records, by raw place.

    An origin names its refused files alone: a mended file of the same name is not touched. What is discarded already
    stays as it is. Raises EvergreenError where `which` names no file, or none that is refused.
    """
    files = [file for manifest in read_manifests(lake / "raw" / name) for file in manifest.files]
    named = [file for file in files if which in (file.path, file.origin)]
    refused = [file for file in files if (record := records.get(file.path)) and record.critical is not None]
    chosen = [file for file in named if file in refused]
    if not chosen and not any((record := records.get(file.path)) and record.discarded for file in named):
        what = "is not refused: its rows count, or it is not validated yet" if named else "is no file of the table"
        known = "; ".join(f"--discard {shlex.quote(file.origin or file.path)}" for file in refused) or "none"
        raise EvergreenError(f"{name}: `{which}` {what}. Files that are refused: {known}")
    made = {}
    for file in chosen:
        record = records[file.path]
        text = f"counts for nothing, discarded by {by} because {because or record.critical}"
        made[file.path] = _record(lake, name, table, file, record, text)
        write_record(lake, name, made[file.path])
        log.warning("%s: %s (%s) %s", name, file.path, file.origin, text)
        point("validate.discarded")
    return made


def _record(
    lake: Path, name: str, table: Table, file: DataFile, before: FileValidation, text: str
) -> FileValidation:  # fmt: skip
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data, _ = read_raw(lake, file, table)
    except SchemaBroken:  # then its rows are kept with the columns that they came with
        data = pq.ParquetFile(lake / file.path).read()
    rows = numbered(data).append_column(REASON, pa.array([RULE] * data.num_rows, pa.string()))
    place, sha256 = write_rows(lake, "quarantine", name, file.path, RULE, rows)
    why = Failure(column=None, rule=RULE, severity="error", count=data.num_rows, share=1.0, expected=text)
    return FileValidation(
        raw=file.path, contract=before.contract, clean=None, clean_sha256=None, quarantine=place,
        quarantine_sha256=sha256, rows=data.num_rows, quarantined=data.num_rows, discarded=text,
        failures=(*before.failures, why),
    )  # fmt: skip
