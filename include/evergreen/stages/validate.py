"""validate: hold new raw files of a table against its contract; good rows go on, the others to quarantine.

Each raw file gets a clean Parquet, a quarantine Parquet and a record that points at both. They depend on that raw
file, its manifest and the contract alone (and, for a `unique` column, on the files before it), so a run that was killed
and run again gives the same bytes, and a mended contract re-admits rows without counting one twice.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from evergreen.disk import full_disk_is_said
from evergreen.errors import ContractError, EvergreenError
from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.lake.manifests import read_manifests
from evergreen.locks import lock
from evergreen.project import Project
from evergreen.quality.checks import Checker
from evergreen.quality.contract import ROW
from evergreen.quality.discard import discard as set_aside
from evergreen.quality.notes import notes_of
from evergreen.quality.plan import Plan, Target, chunk_path, end_plan, make_plan
from evergreen.quality.records import FileValidation, read_validations
from evergreen.quality.report import find_report, write_report

if TYPE_CHECKING:
    import numpy as np


log = logging.getLogger(__name__)

LISTED = 10  # critical files that an error names


class ValidateResult(BaseModel):
    """What a run did; counts are of the files that it validated."""

    model_config = ConfigDict(frozen=True)

    table: str
    files: int
    rows: int
    quarantined: int
    warnings: int  # broken rules of severity `warning`, counted by row; those rows went on
    notes: tuple[str, ...] = ()  # a line for each such rule, with examples
    admitted: int  # rows that count now and did not before, of new files and of old ones
    readmitted: int  # those of them that an earlier contract had kept out
    withdrawn: int  # rows that counted under an earlier contract and no longer do
    discarded: int = 0  # files that this run discarded
    report: str | None  # the HTML page, relative to the home; None where nothing was to be validated


class FilesRefused(ContractError):
    """Files of the table count for nothing; the others are done, as `result` says, whose report shows why."""

    def __init__(self, text: str, result: ValidateResult) -> None:
        super().__init__(text)
        self.result = result


@full_disk_is_said()
def validate(
    project: Project, table: str, again: bool = False, *, discard: str | None = None, by: str = "unknown",
    because: str | None = None, discarded: bool = False,
) -> ValidateResult:  # fmt: skip
    """Validate the raw files of `table` that have no record yet.

    With `again` also those of another contract and those whose clean or quarantine file is missing or was altered;
    files that were discarded stay so, but with `discarded`, which validates them again. `discard` names a refused
    file by its raw place or its origin: it counts for nothing from now on, since `by` says so, `because` of this.

    Raises FilesRefused, after all files are done, while any file of the table is critical: also one of an earlier
    run, so that a retry cannot pass over it. ParamsError where the contract itself is wrong, LakeError where a raw
    file is missing or was altered, EvergreenError where `discard` names no refused file.
    """
    if table not in project.params.tables:
        raise EvergreenError(f"`{table}` is not a table of params.yaml; known: {', '.join(project.params.tables)}")
    with lock(project.home, f"{project.name}/validate/{table}"):
        project.refresh()
        records = read_validations(project.lake, table)
        spec, zone = project.params.tables[table], project.params.time_zone
        gone = set_aside(project.lake, table, spec, records, discard, by, because) if discard else {}
        records |= gone
        plan = make_plan(project.lake, table, spec, zone, records, again, discarded)
        if not plan.targets:
            result = _result(project, table, plan, records, None)
        else:
            checker = Checker.of(project.lake, table, spec, zone)
            suites = _check(checker, plan, records)
            report = write_report(project.lake, table, checker.rules, plan, records, suites)
            result = _result(project, table, plan, records, report.relative_to(project.home.root).as_posix())
            point("validate.report")
            end_plan(project.lake, table)
    result = result.model_copy(update={"discarded": len(gone)})
    for note in result.notes:
        log.warning("%s: %s", table, note)
    _refuse_critical(project, result, records)
    return result


def _check(checker: Checker, plan: Plan, records: dict[str, FileValidation]) -> list[dict[str, Any]]:
    """Validate every chunk that is not done; the suites' results."""
    raw = checker.lake / "raw" / checker.name
    order = {file.path: manifest.as_of for manifest in read_manifests(raw) for file in manifest.files}
    suites = []
    for chunk in plan.chunks():
        path = chunk_path(checker.lake, checker.name, chunk)
        if not (path.exists() and all(_written(checker.lake, records, target) for target in chunk)):
            write_atomic(path, json.dumps(checker.check(chunk, records, order), default=str))
            point("validate.chunk")
        suites.append(json.loads(path.read_bytes()))
    return suites


def _written(lake: Path, records: Mapping[str, FileValidation], target: Target) -> bool:
    record = records.get(target.file.path)
    return record is not None and record.contract == target.contract and not record.damaged(lake)


def _result(
    project: Project, table: str, plan: Plan, records: Mapping[str, FileValidation], report: str | None
) -> ValidateResult:
    done = [records[target.file.path] for target in plan.targets]
    admitted = readmitted = withdrawn = 0
    for target, record in zip(plan.targets, done, strict=True):
        gained, lost = _difference(project.lake, target.before, record)
        admitted += gained
        readmitted += gained if target.before else 0
        withdrawn += lost
    return ValidateResult(
        table=table, files=len(done), rows=sum(record.rows for record in done),
        quarantined=sum(record.quarantined for record in done),
        warnings=sum(f.count for record in done for f in record.failures if f.severity == "warning"),
        notes=tuple(notes_of(done)), admitted=admitted, readmitted=readmitted, withdrawn=withdrawn, report=report,
    )  # fmt: skip


def _difference(lake: Path, before: FileValidation | None, now: FileValidation) -> tuple[int, int]:
    """How many of a raw file's rows count now and did not before, and how many the other way."""
    import numpy as np

    if before is None:
        return (now.rows - now.quarantined if now.clean else 0), 0
    was, is_ = _clean_rows(lake, before), _clean_rows(lake, now)
    kept = len(np.intersect1d(was, is_, assume_unique=True))
    return len(is_) - kept, len(was) - kept


def _clean_rows(lake: Path, record: FileValidation) -> np.ndarray[Any, Any]:
    """The numbers of the raw file's rows that count by a record; none where its clean file was lost."""
    import numpy as np
    import pyarrow.parquet as pq

    if record.clean is None or record.damaged(lake):
        return np.empty(0, dtype=np.int64)
    return np.asarray(pq.ParquetFile(lake / record.clean).read(columns=[ROW])[ROW])


def _refuse_critical(project: Project, result: ValidateResult, records: Mapping[str, FileValidation]) -> None:
    critical: Sequence[FileValidation] = [record for record in records.values() if record.critical is not None]
    if not critical:
        return
    origins = _origins(project, result.table)
    listed = "\n".join(f"  {record.raw} ({origins[record.raw]}): {record.critical}" for record in critical[:LISTED])
    if len(critical) > LISTED:
        listed += f"\n  and {len(critical) - LISTED} more; each says why in validation/{result.table}/"
    page = find_report(project.lake, result.table, critical)
    result = result.model_copy(update={"report": page and page.relative_to(project.home.root).as_posix()})
    seen = f"\nThe report is {page}" if page else ""
    first = critical[0].raw
    raise FilesRefused(
        f"{len(critical)} file(s) of the table `{result.table}` broke its contract and none of their rows count:\n"
        f"{listed}{seen}\nRaw files never change. If the file is right, mend the contract in params.yaml, or let its "
        f"good rows through by a lower `mostly` or a larger `quarantine.max_share`; then run "
        f"`evergreen validate {result.table} --again`. If the file is wrong, send a mended one and discard this one: "
        f"`evergreen validate {result.table} --discard {shlex.quote(origins[first] or first)}`",
        result,
    )


def _origins(project: Project, table: str) -> dict[str, str]:
    """Raw file to what the source calls it."""
    manifests = read_manifests(project.lake / "raw" / table)
    return {file.path: file.origin for manifest in manifests for file in manifest.files}
