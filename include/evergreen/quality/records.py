"""The validation record of a raw file: which clean and quarantine files count for it, and what it broke.

`validation/<table>/<raw stem>.json` is replaced whole, so at each moment one result counts for each raw file.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from evergreen.files import write_atomic
from evergreen.lake.manifests import read_manifests
from evergreen.params.tables import Severity


class Failure(BaseModel):
    """How many rows of one file broke one rule."""

    model_config = ConfigDict(frozen=True)

    column: str | None  # None: a rule about the row (`known_at`) or the file (`schema`)
    rule: str  # nulls, between, in, matches, unique, known_at, schema
    severity: Severity
    count: int
    share: float  # of the file's rows, 0 to 1
    expected: str
    examples: tuple[str, ...] = ()  # up to three values that broke it, as text


class FileValidation(BaseModel):
    """The result that counts for one raw file; places are relative to the lake."""

    model_config = ConfigDict(frozen=True)

    raw: str
    contract: str
    clean: str | None  # None exactly where `critical` is given
    quarantine: str | None  # None where no row went there
    rows: int
    quarantined: int
    critical: str | None = None
    failures: tuple[Failure, ...] = ()


def record_path(lake: Path, table: str, raw: str) -> Path:
    """Where the record of the raw file `raw` lies."""
    return lake / "validation" / table / f"{PurePosixPath(raw).stem}.json"


def write_record(lake: Path, table: str, record: FileValidation) -> None:
    """Make `record` the one that counts."""
    write_atomic(record_path(lake, table, record.raw), record.model_dump_json(indent=1))


def read_validations(lake: Path, table: str) -> dict[str, FileValidation]:
    """The records of a table's committed raw files by raw path, in manifest order; unvalidated ones are absent."""
    records = {}
    for manifest in read_manifests(lake / "raw" / table):
        for file in manifest.files:
            path = record_path(lake, table, file.path)
            if path.exists():
                records[file.path] = FileValidation.model_validate_json(path.read_bytes())
    return records
