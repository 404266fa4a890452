"""The lock seam: a file lock here; a row of the ledger where several hosts share one loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from evergreen.errors import EvergreenError
from evergreen.paths import Home


@contextmanager
def lock(home: Home, name: str, timeout: float = 600) -> Iterator[None]:
    """Hold the lock `name`; it is freed when its process dies. Raises EvergreenError after `timeout` seconds."""
    home.locks.mkdir(parents=True, exist_ok=True)
    path = home.locks / f"{name.replace('/', '~')}.lock"
    try:
        with FileLock(path, timeout=timeout):
            yield
    except Timeout:
        raise EvergreenError(f"`{name}` has been locked for {timeout:.0f} s: see which run holds {path}") from None
