"""Which raw files a run validates, kept on disk until its report is written.

`validation/<table>/run/plan.json` lets a killed run go on as if nothing had happened: it has the same files, so the
same report, and still knows what counted before. The run's chunks lie beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from evergreen.faults import point
from evergreen.files import read_json, remove, write_atomic
from evergreen.lake.manifests import DataFile, read_manifests
from evergreen.params.tables import Table
from evergreen.quality.contract import chained_hash, contract_hash
from evergreen.quality.records import FileValidation

CHUNK_ROWS = 1_000_000


class Target(BaseModel):
    """One raw file to validate, the hash that its result will have, and the result that counted before the run."""

    model_config = ConfigDict(frozen=True)

    file: DataFile
    contract: str
    before: FileValidation | None


class Plan(BaseModel):
    """One run: its files in manifest order."""

    model_config = ConfigDict(frozen=True)

    targets: tuple[Target, ...]

    @property
    def id(self) -> str:
        """12 hex digits of what is validated against what."""
        return _digest(self.targets)

    def chunks(self) -> Iterator[tuple[Target, ...]]:
        """Consecutive files of at most CHUNK_ROWS rows together, or a larger one alone."""
        chunk: list[Target] = []
        rows = 0
        for target in self.targets:
            if chunk and rows + target.file.rows > CHUNK_ROWS:
                yield tuple(chunk)
                chunk, rows = [], 0
            chunk.append(target)
            rows += target.file.rows
        if chunk:
            yield tuple(chunk)


def run_folder(lake: Path, name: str) -> Path:
    """Where an unfinished run keeps its plan and chunks."""
    return lake / "validation" / name / "run"


def chunk_path(lake: Path, name: str, chunk: tuple[Target, ...]) -> Path:
    """Where the suite's result on a chunk is kept; it exists once all its files have their records."""
    return run_folder(lake, name) / f"{_digest(chunk)}.json"


def make_plan(
    lake: Path, name: str, table: Table, time_zone: str, records: Mapping[str, FileValidation],
    again: bool = False, discarded: bool = False,
) -> Plan:  # fmt: skip
    """The files without a record, those of a killed run, and with `again` those whose result cannot stand.

    That is a result of another contract than today's, and one whose files are missing or were altered. A discarded
    file stays so, but with `discarded`.
    """
    path = run_folder(lake, name) / "plan.json"
    if not path.exists():  # what a run that was killed at its very end left is of no use to another
        remove(run_folder(lake, name))
    way_out = f"remove it and run `evergreen validate {name}` again"
    unfinished = read_json(Plan, path, way_out).targets if path.exists() else ()
    before = {target.file.path: target.before for target in unfinished}
    contract, previous, targets = contract_hash(table, time_zone), ("", ""), []
    for file in (file for manifest in read_manifests(lake / "raw" / name) for file in manifest.files):
        record = records.get(file.path)
        wanted = chained_hash(contract, table, previous)
        if record is not None and record.discarded is not None:
            due = discarded
        else:
            due = record is None or file.path in before
            due = due or (again and record is not None and (record.contract != wanted or bool(record.damaged(lake))))
        if due:
            targets.append(Target(file=file, contract=wanted, before=before.get(file.path, record)))
            previous = (file.path, wanted)
        else:
            assert record is not None
            previous = (file.path, record.contract)
    plan = Plan(targets=tuple(targets))
    if targets:
        write_atomic(path, plan.model_dump_json())
        point("validate.planned")
    return plan


def end_plan(lake: Path, name: str) -> None:
    """Forget the run, the plan first: chunks without a plan are only left over."""
    remove(run_folder(lake, name) / "plan.json")
    point("validate.forgotten")
    remove(run_folder(lake, name))


def _digest(targets: tuple[Target, ...]) -> str:
    text = "\n".join(f"{target.file.path} {target.contract}" for target in targets)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
