"""Locks that are files of the home: the system frees them when their process dies, on any host of one file system."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from evergreen.paths import Home

_TICK = 0.05


class Files:
    """The locks of one home."""

    outlives = 0.0

    def __init__(self, home: Home) -> None:
        self._home = home
        home.locks.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def take(self, name: str, timeout: float, shared: bool = False) -> Iterator[bool]:
        """Hold the lock `name`, alone or with all that share it; False where it was not free for `timeout` seconds."""
        with self._shared(name, timeout) if shared else self._alone(name, timeout) as held:
            yield held

    def whose(self, name: str) -> str:
        """Where to look for who holds it."""
        return f"see which run holds {self._place(name)}"

    def discard(self, below: str) -> None:
        """Remove the files of the locks below a name."""
        for path in self._home.locks.glob(f"{below.replace('/', '~')}~*.lock"):
            path.unlink(missing_ok=True)

    @contextmanager
    def _alone(self, name: str, timeout: float) -> Iterator[bool]:
        held = FileLock(self._place(name), timeout=timeout)
        try:
            held.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            held.release()

    @contextmanager
    def _shared(self, name: str, timeout: float) -> Iterator[bool]:
        handle = os.open(self._place(name), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield _flock(handle, time.monotonic() + timeout)
        finally:
            os.close(handle)

    def _place(self, name: str) -> Path:
        return self._home.locks / f"{name.replace('/', '~')}.lock"


def _flock(handle: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_TICK)
        else:
            return True
