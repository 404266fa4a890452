"""What of a home is shared through a bucket, and how a file of each kind may change there.

A place is a path relative to the home, and below the bucket's prefix the name of the object.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

SHARED = ("lake", "reports", "cards", "evidence")
MARK = ".newest.json"  # of lake/manifests.py: the one hidden file that others need

# once: never changes, other bytes under its name are an error. guarded: replaced by who knows the one before, under a
# lock. free: a page for people, of which the last one written stands.
Rule = Literal["once", "guarded", "free"]
# What points at others comes after them, and goes before them.
DATA, RECORD, MANIFEST, NEWEST = range(4)


def shared_place(root: Path, path: Path) -> str | None:
    """The place of a file or folder of the home `root`; None for one that stays on this host."""
    place = path.relative_to(root)
    hidden = any(part.startswith(".") for part in place.parts if part != MARK)
    return place.as_posix() if place.parts and place.parts[0] in SHARED and not hidden else None


def rank(place: str) -> int:
    """How much points at what: data at nothing, a record at data, a manifest at both, the mark at manifests."""
    parts = PurePosixPath(place).parts
    if parts[0] != "lake":
        return DATA
    if parts[-1] == MARK:
        return NEWEST
    if not place.endswith(".json") or _is_page(parts):
        return DATA
    return MANIFEST if parts[-2] == "ledger" and parts[2] != "validation" else RECORD  # a table may be named so


def rule(place: str) -> Rule:
    """How the file at `place` may change."""
    parts = PurePosixPath(place).parts
    if parts[0] == "evidence" or rank(place) == MANIFEST:
        return "once"
    if parts[0] != "lake":
        return "free"
    return "once" if parts[2] in ("raw", "predictions") and place.endswith(".parquet") else "guarded"


def _is_page(parts: tuple[str, ...]) -> bool:
    """lake/<name>/validation/<table>/reports/<run>.json; a record has one part less, also of a table `reports`."""
    return len(parts) == 6 and parts[2] == "validation" and parts[4] == "reports"
