"""Writes that are either whole or absent, and reads of the records so written.

What belongs to the lake or is a report is written to a bucket as well, where the home's lake is in one (store/).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from evergreen.errors import EvergreenError, LakeError
from evergreen.faults import point
from evergreen.store.base import store_of

R = TypeVar("R", bound=BaseModel)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name `path` in an OSError that names no file: a write that fails, as on a full disk, does not say where."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_atomic(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file whole, synced to disk, making its folder where needed; readers never see half of it.

    With `mode` 0o600 nobody but the owner can read it at any moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path), os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        point("file.written")
        store_of(path).put(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def publish(temporary: Path, path: Path) -> None:
    """Sync a finished temporary file and put it in place; both are on one file system."""
    with naming(path), temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    point("file.written")
    store_of(path).put(temporary, path)
    sync_folder(path.parent)


def create(temporary: Path, path: Path) -> None:
    """Put a finished, synced temporary file in place; FileExistsError where one is: of two at once one wins."""
    store_of(path).create(temporary, path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Delete a file or a folder; again, it changes nothing."""
    store_of(path).remove(path)


def fetch(path: Path) -> bool:
    """Have one file here that another host may have written; False where there is none."""
    return store_of(path).fetch(path)


def sync_folder(folder: Path) -> None:
    """Make a rename or a link in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(kind: type[R], path: Path, then: str, problem: type[EvergreenError] = LakeError) -> R:
    """Read a record that was written whole. Raises `problem`, which ends by what to do, where it is something else."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        raise problem(f"{path} was altered or cut off ({found['msg']}); {then}") from None
