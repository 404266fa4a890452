"""A full disk, said in one way wherever it is met: which file, and what to do.

`@full_disk_is_said()` stands on every stage, so the command line, an Airflow task and a test hear the same. What ran
out of space may be this process (`OSError`), DuckDB's spilling, the ledger's SQLite, or git, DVC or MLflow, of which
only their words come back, in an EvergreenError.
"""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evergreen.errors import EvergreenError

FULL = (errno.ENOSPC, errno.EDQUOT)
# The last two are git's, which says so of a failed write alone, not of one that is forbidden.
_WORDS = (
    "No space left on device", "Disk quota exceeded", "database or disk is full", "Out of diskspace",
    "unable to write file",
)  # fmt: skip
_LITTLE = 1 << 20  # bytes; a database needs some to say what it lacks
_ADVICE = (
    "nothing that was there before is lost, and what this run left unfinished counts for nothing. Free space "
    "(`evergreen gc` shows what can go), then run it again"
)


class DiskFull(EvergreenError):
    """There is no space left for what was to be written."""


@contextmanager
def full_disk_is_said() -> Iterator[None]:
    """Raise DiskFull for whatever says that a disk is full; all else passes. It serves as a decorator too."""
    try:
        yield
    except DiskFull:
        raise
    except OSError as error:
        if error.errno not in FULL:
            raise
        what = f"{error.filename} could not be written" if error.filename else "a file could not be written"
        raise DiskFull(f"no space left on the device: {what}; {_ADVICE}") from error
    except _told() as error:
        if not any(words in str(error) for words in _WORDS):
            raise
        raise DiskFull(f"no space left on the device: {_ADVICE}. What said so:\n{error}") from error


def is_full(folder: Path) -> bool:
    """Whether next to nothing is free where `folder` is, for an error that does not say what it is about."""
    return shutil.disk_usage(folder).free < _LITTLE


def _told() -> tuple[type[Exception], ...]:
    """The errors whose words may be of a full disk; DuckDB's only where it was loaded: else none is on its way."""
    return (EvergreenError, sys.modules["duckdb"].Error) if "duckdb" in sys.modules else (EvergreenError,)
