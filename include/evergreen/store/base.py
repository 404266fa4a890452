"""The seam between a laptop's disk and a bucket: how a finished file becomes part of the home, and how it goes.

Without EVERGREEN_LAKE_URL everything is on this disk. With it, lake, reports, cards and evidence are in the bucket, and
the home holds a copy of them that is written through (mirror.py). Whoever writes asks by `files.write_atomic` and
`files.publish`, whoever deletes by `files.remove`; a stage begins by `Project.refresh`.
"""

from __future__ import annotations

import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from evergreen.errors import EvergreenError
from evergreen.paths import Home, home_of
from evergreen.store.places import shared_place

VARIABLE = "EVERGREEN_LAKE_URL"


class Store(Protocol):
    """Where files of the home are. Paths are of this host; a temporary file is whole and synced, on the same disk."""

    def put(self, temporary: Path, path: Path) -> None:
        """Put a file in place, whole or not at all; it replaces the one that is there."""

    def create(self, temporary: Path, path: Path) -> None:
        """The same where nothing is: raises FileExistsError, so that of two at once one wins."""

    def remove(self, path: Path) -> None:
        """Delete a file or a folder; again, it changes nothing."""

    def fetch(self, path: Path) -> bool:
        """Have one file here as it is now; False where there is none."""

    def refresh(self, folder: Path) -> None:
        """Have a folder here as it is now, what points at others after those."""

    def reach(self) -> None:
        """Raise LakeError where it cannot be used."""


class Disk:
    """The home itself."""

    def put(self, temporary: Path, path: Path) -> None:
        """By rename."""
        os.replace(temporary, path)

    def create(self, temporary: Path, path: Path) -> None:
        """By link, which fails where the name is taken."""
        os.link(temporary, path)

    def remove(self, path: Path) -> None:
        """From the disk."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def fetch(self, path: Path) -> bool:
        """It is here, or nowhere."""
        return path.is_file()

    def refresh(self, folder: Path) -> None:
        """It is always as it is now."""

    def reach(self) -> None:
        """It is at hand."""


DISK = Disk()


def store_of(path: Path) -> Store:
    """Where the file or folder at `path` is kept. Raises EvergreenError where EVERGREEN_LAKE_URL is not a bucket's."""
    url = os.environ.get(VARIABLE)
    home = home_of(path) if url else None
    if not url or home is None or shared_place(home.root, path) is None:
        return DISK
    return _mirror(home, url, os.environ.get("STORAGE_EMULATOR_HOST"), os.getpid())


def where(home: Home) -> str:
    """Where the lake is, for people."""
    return os.environ.get(VARIABLE) or str(home.root / "lake")


def require_store(home: Home) -> None:
    """Raise EvergreenError where the home is a bucket's copy, and the variable that says so is missing here."""
    if os.environ.get(VARIABLE) or not home.mirror.exists():
        return
    from evergreen.store.index import Index

    if url := Index(home.mirror).url():
        raise EvergreenError(
            f"the lake in {home.root} is a copy of one in a bucket: set {VARIABLE}={url}, as wherever else the loop "
            f"runs. To leave the bucket and go on with this copy alone, run `evergreen lake fetch` with it set, then "
            f"remove {home.mirror}"
        )


@lru_cache(maxsize=8)  # of a fork its own: it must not share a connection
def _mirror(home: Home, url: str, _server: str | None, _process: int) -> Store:
    from evergreen.store.bucket import Bucket
    from evergreen.store.mirror import Mirror

    return Mirror(home, Bucket(url))
