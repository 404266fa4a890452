"""The exactly-once ledger of a lake folder: numbered manifests, committed by compare-and-swap.

`<folder>/ledger/<seq>.json` says which files belong to the folder and how far the source was read. A manifest is
written whole, then created under its number, by `os.link` or in a bucket by if-generation-match, which fail where the
number is taken: so of two writers one wins.
Readers list manifests and never folders: a file that no manifest names is an orphan of a killed run.

`<folder>/.newest.json` says how many manifests there were at least: else nobody would miss the last one, and its files
would be taken for orphans. It is written after the commit; the next run puts right what a kill between the two left.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from evergreen import faults
from evergreen.errors import LakeError
from evergreen.files import create, naming, read_json, write_atomic
from evergreen.store.places import MARK

_RESTORE = "restore it from a backup: the table's files cannot be told from leftovers without it"


class SideFile(BaseModel):
    """A file beside a data file: records of its delivery that cannot be rows (rejects.py)."""

    model_config = ConfigDict(frozen=True)

    path: str
    sha256: str
    rows: int
    bytes: int


class DataFile(BaseModel):
    """One immutable Parquet file of a lake folder."""

    model_config = ConfigDict(frozen=True)

    path: str  # relative to the lake folder, e.g. raw/rides/3f2a....parquet
    sha256: str
    rows: int
    bytes: int
    origin: str = ""  # what the source calls it, e.g. rides-2013-01-07.csv
    origin_sha256: str = ""
    origin_bytes: int | None = None  # the size of that content; None where an older ingest did not note it
    rejects: SideFile | None = None  # of the delivery, with the first of its files


class Manifest(BaseModel):
    """One commit: its files, and the `as_of` of the run that made it."""

    model_config = ConfigDict(frozen=True)

    seq: int
    as_of: datetime
    files: tuple[DataFile, ...]
    committed_at: datetime


class Positioned(Manifest):
    """A manifest as it is written, with the source's position after it: of some sources thousands of hashes."""

    position: dict[str, Any] = {}


M = TypeVar("M", bound=Manifest)


class Newest(BaseModel):
    """The number of a manifest that was committed; all up to it must be there."""

    seq: int


class Conflict(LakeError):
    """Another writer committed first; read the ledger again and start from there."""


def read_manifests(folder: Path) -> list[Manifest]:
    """Every manifest of a lake folder, in order; an empty list where nothing was committed.

    Raises LakeError naming one that was altered or is missing: what it holds would be taken for files that a killed
    run left.
    """
    return _read(folder, Manifest)


def read_positioned(folder: Path) -> list[Positioned]:
    """As `read_manifests`, each with its position."""
    return _read(folder, Positioned)


def read_position(folder: Path, seq: int) -> dict[str, Any]:
    """The position of one manifest."""
    return read_json(Positioned, _path(folder, seq), _RESTORE).position


def _read(folder: Path, kind: type[M]) -> list[M]:
    newest, found = _newest(folder), []  # in this order: a manifest is there before the mark says so
    for seq, path in enumerate(sorted((folder / "ledger").glob("*.json")), start=1):
        expected = _path(folder, seq)
        if path != expected:
            raise LakeError(f"{expected} is missing, but {path.name} is there; {_RESTORE}")
        found.append(read_json(kind, path, _RESTORE))
    if len(found) < newest:
        missing = _path(folder, len(found) + 1)
        raise LakeError(f"{missing} is missing, but {folder / MARK} says that it was committed; {_RESTORE}")
    return found


def _path(folder: Path, seq: int) -> Path:
    return folder / "ledger" / f"{seq:08d}.json"


def unnamed(lake: Path, folder: Path, manifests: Iterable[Manifest]) -> list[Path]:
    """The files of a lake folder and of its ledger that none of its manifests names, nor anybody reads."""
    files = [file for manifest in manifests for file in manifest.files]
    named = {file.path for file in files} | {file.rejects.path for file in files if file.rejects}
    there = [path for path in folder.glob("*") if path.is_file() and path.name != MARK]
    return [path for path in there if path.relative_to(lake).as_posix() not in named] + [
        *folder.glob("ledger/.manifest.*")
    ]


def mark_newest(folder: Path, seq: int) -> None:
    """Say that manifest `seq` was committed, unless that is known."""
    if seq > _newest(folder):
        write_atomic(folder / MARK, Newest(seq=seq).model_dump_json())


def _newest(folder: Path) -> int:
    try:
        return read_json(Newest, folder / MARK, "remove it: the next ingest or score writes it again").seq
    except FileNotFoundError:
        return 0  # nothing was committed, or by code that wrote no mark


def commit(
    folder: Path, seq: int, as_of: datetime, files: Iterable[DataFile], position: dict[str, Any] | None = None
) -> Manifest:
    """Commit `files` as manifest `seq`, which the caller takes as one more than the last it read.

    The files must be in place and synced. Raises Conflict where `seq` is taken.
    """
    manifest = Manifest(seq=seq, as_of=as_of, files=tuple(files), committed_at=datetime.now(UTC))
    written = Positioned(**dict(manifest), position=position or {})
    ledger = folder / "ledger"
    ledger.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=ledger, prefix=".manifest.")
    try:
        with naming(ledger), os.fdopen(handle, "w") as stream:
            stream.write(written.model_dump_json(indent=1))
            stream.flush()
            os.fsync(stream.fileno())
        faults.point("manifest.written")
        create(Path(temporary), _path(folder, seq))
    except FileExistsError:
        raise Conflict(f"{folder}: manifest {seq} was committed by another run meanwhile") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
    faults.point("manifest.committed")
    mark_newest(folder, seq)
    return manifest
