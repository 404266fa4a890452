"""The lock seam: a file lock here; a row of the ledger where several hosts share one loop.

Besides the locks by name there is one that is shared: whoever makes or reads what a build stands on is `using` the
stores (DVC's cache and remote, evidence), and nobody is `sweeping` them meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from evergreen import faults
from evergreen.disk import FULL
from evergreen.errors import EvergreenError
from evergreen.formats import stamp
from evergreen.paths import Home

_PATIENCE = 600.0
_TICK = 0.05


@contextmanager
def lock(home: Home, name: str, timeout: float = _PATIENCE) -> Iterator[None]:
    """Hold the lock `name`; it is freed when its process dies. Raises EvergreenError after `timeout` seconds."""
    path = _place(home, name)
    try:
        with _acquired(FileLock(path), timeout):
            yield
    except Timeout:
        raise EvergreenError(f"`{name}` has been locked for {timeout:.0f} s: see which run holds {path}") from None


def _acquired(held: FileLock, timeout: float) -> AbstractContextManager[object]:
    with suppress(Timeout):
        return held.acquire(timeout=0)
    faults.point("lock.waits")
    return held.acquire(timeout=timeout)


@contextmanager
def attempt(home: Home, name: str) -> Iterator[bool]:
    """Hold the lock `name` if nobody else does; False, at once, where somebody does."""
    held = FileLock(_place(home, name), timeout=0)
    try:
        held.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()


def discard(home: Home, name: str) -> None:
    """Remove the files of the locks below `name`, which nobody needs any more."""
    for path in home.locks.glob(f"{name.replace('/', '~')}~*.lock"):
        path.unlink(missing_ok=True)


@contextmanager
def using(home: Home) -> Iterator[None]:
    """Keep `sweeping` away; any number of processes may use the stores at once."""
    with _stores(home, fcntl.LOCK_SH, _PATIENCE) as held:
        if not held:
            raise EvergreenError(f"`evergreen gc` has been freeing space for {_PATIENCE:.0f} s: see whether it hangs")
        yield


@contextmanager
def sweeping(home: Home, patience: float) -> Iterator[bool]:
    """Be alone with the stores; False where somebody still used them after `patience` seconds."""
    with _stores(home, fcntl.LOCK_EX, patience) as held:
        yield held


@contextmanager
def _stores(home: Home, kind: int, patience: float) -> Iterator[bool]:
    handle = os.open(_place(home, "stores"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _flock(handle, kind, time.monotonic() + patience)
    finally:
        os.close(handle)


def _place(home: Home, name: str) -> Path:
    home.locks.mkdir(parents=True, exist_ok=True)
    try:
        stamp(home)  # nothing is written without a lock, so this is the first of all
    except OSError as error:  # a home without is of format 1; the next one writes it, when `evergreen gc` made room
        if error.errno not in FULL:
            raise
    return home.locks / f"{name.replace('/', '~')}.lock"


def _flock(handle: int, kind: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_TICK)
        else:
            return True
