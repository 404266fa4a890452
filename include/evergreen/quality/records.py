"""The validation record of a raw file: which clean and quarantine files count for it, and what it broke.

`validation/<table>/<raw stem>.json` is replaced whole, so at each moment one result counts for each raw file.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from evergreen.errors import LakeError
from evergreen.files import read_json, write_atomic
from evergreen.lake.manifests import read_manifests
from evergreen.params.tables import Severity
from evergreen.paths import file_sha256


class Failure(BaseModel):
    """How many rows of one file broke one rule."""

    model_config = ConfigDict(frozen=True)

    column: str | None  # None: a rule about the row (`known_at`) or the file (`schema`, `rejected`)
    rule: str  # nulls, between, in, matches, unique, known_at, ahead, key, schema, rejected, discarded
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
    clean: str | None  # None exactly where `critical` or `discarded` is given
    clean_sha256: str | None
    quarantine: str | None  # None where no row went there
    quarantine_sha256: str | None
    rows: int
    quarantined: int
    rejects: int = 0  # records of its delivery that could not be rows, which lie beside the raw file
    critical: str | None = None
    discarded: str | None = None  # who decided that the file counts for nothing, and why; it was critical before
    failures: tuple[Failure, ...] = ()

    @model_validator(mode="after")
    def _hashed(self) -> Self:
        if (self.clean is None) != (self.clean_sha256 is None):
            raise ValueError("a clean file is recorded with its hash")
        if (self.quarantine is None) != (self.quarantine_sha256 is None):
            raise ValueError("a quarantine file is recorded with its hash")
        return self

    def damaged(self, lake: Path) -> str | None:
        """The place of a clean or quarantine file that is missing or is not what was written, with which it is."""
        for place, sha256 in ((self.clean, self.clean_sha256), (self.quarantine, self.quarantine_sha256)):
            if place is not None and (damage := _damage(lake / place, sha256)):
                return f"{place} {damage}"
        return None

    def require_clean(self, lake: Path, table: str) -> Path | None:
        """The clean file, if there is one; LakeError where it is missing or was altered."""
        if self.clean is None:
            return None
        if damage := _damage(lake / self.clean, self.clean_sha256):
            raise LakeError(
                f"{lake / self.clean} {damage}; run `evergreen validate {table} --again`, which makes it anew "
                "from the raw file"
            )
        return lake / self.clean


def _damage(path: Path, sha256: str | None) -> str | None:
    if not path.exists():
        return "is missing"
    return None if file_sha256(path) == sha256 else "is not the file that validation wrote"


def record_path(lake: Path, table: str, raw: str) -> Path:
    """Where the record of the raw file `raw` lies."""
    return lake / "validation" / table / f"{PurePosixPath(raw).stem}.json"


def write_record(lake: Path, table: str, record: FileValidation) -> None:
    """Make `record` the one that counts."""
    write_atomic(record_path(lake, table, record.raw), record.model_dump_json(indent=1))


def read_validations(lake: Path, table: str) -> dict[str, FileValidation]:
    """The records of a table's committed raw files by raw path, in manifest order; unvalidated ones are absent.

    Raises LakeError naming one that was altered.
    """
    records = {}
    for manifest in read_manifests(lake / "raw" / table):
        for file in manifest.files:
            path = record_path(lake, table, file.path)
            if path.exists():
                records[file.path] = read_json(
                    FileValidation, path, f"remove it and run `evergreen validate {table}`, which makes it anew"
                )
    return records
