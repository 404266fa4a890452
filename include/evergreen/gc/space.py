"""The space that a home takes, by kind: for one use case, and for all that share the home.

What is counted is what a file takes of the disk: next to nothing of Kafka's indexes, which are made 10 MB long and
sparse.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from evergreen.paths import Home


class Space(BaseModel):
    """One kind. `own` is the use case's part of `total`, None where the kind is shared; both in bytes."""

    model_config = ConfigDict(frozen=True)

    kind: str
    own: int | None
    total: int
    files: int  # of the total


LAKE = ("raw", "clean", "quarantine", "validation", "predictions")
BY_NAME = ("searches", "builds", "models", "reports", "cards", "backtest")
SHARED = {
    "evidence": "evidence", "DVC cache": "dvc/cache", "DVC remote": "dvc/remote", "DVC scratch": "dvc/site",
    "MLflow": "mlflow", "Airflow": "airflow", "PostgreSQL": "postgres", "Kafka": "kafka", "Storage": "gcs",
    "logs": "logs", "drops": "drops",
}  # fmt: skip


def read_space(home: Home, name: str) -> list[Space]:
    """Every kind, and the rest of the home as `other`; 100,000 files take less than a second."""
    found = {}
    for kind in LAKE:
        found[kind] = _split(kind, home.root / "lake" / name / kind, (home.root / "lake").glob(f"*/{kind}"))
    for kind in BY_NAME:
        found[kind] = _split(kind, home.root / kind / name, [home.root / kind])
    for kind, place in SHARED.items():
        size, files = measure(home.root / place)
        found[kind] = Space(kind=kind, own=None, total=size, files=files)
    named = {home.root / part for part in ("lake", "dvc", *BY_NAME, *SHARED.values())}
    rest = [path for path in home.root.glob("*") if path not in named]
    size, files = _together(rest)
    found["other"] = Space(kind="other", own=None, total=size, files=files)
    return list(found.values())


def measure(place: Path) -> tuple[int, int]:
    """The bytes that the files at a place take, and their number; what disappears meanwhile is not counted."""
    if not place.is_dir() or place.is_symlink():
        try:
            return (taken(place.lstat()), 1) if place.exists() else (0, 0)
        except FileNotFoundError:
            return 0, 0
    size = files = 0
    folders: list[str] = [str(place)]
    while folders:
        for entry in _entries(folders.pop()):
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
                continue
            try:
                size += taken(entry.stat(follow_symlinks=False))
                files += 1
            except FileNotFoundError:
                continue
    return size, files


def taken(file: os.stat_result) -> int:
    """The bytes that a file takes of the disk, which is more than its length, or less where it is sparse."""
    return file.st_blocks * 512  # by POSIX, whatever the file system's blocks are


def shown(size: int) -> str:
    """Bytes for people: `12.3 MB`."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} GB"


def _split(kind: str, own: Path, places: Iterator[Path] | list[Path]) -> Space:
    size, files = _together(places)
    return Space(kind=kind, own=measure(own)[0], total=size, files=files)


def _together(places: Iterator[Path] | list[Path]) -> tuple[int, int]:
    measured = [measure(place) for place in places]
    return sum(size for size, _ in measured), sum(files for _, files in measured)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
