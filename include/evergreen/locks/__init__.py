"""The lock seam: files of the home, or rows of the ledger where that is a PostgreSQL, which several hosts share.

Besides the locks by name there is one that is shared: whoever makes or reads what a build stands on is `using` the
stores (DVC's cache and remote, evidence), and nobody is `sweeping` them meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from evergreen import faults
from evergreen.disk import FULL
from evergreen.errors import EvergreenError
from evergreen.formats import stamp
from evergreen.locks.files import Files
from evergreen.paths import Home

_PATIENCE = 600.0
_STORES = "stores"


class Locks(Protocol):
    """What holds the locks."""

    @property
    def outlives(self) -> float:
        """How many seconds a lock may outlive a process that is killed."""

    def take(self, name: str, timeout: float, shared: bool = False) -> AbstractContextManager[bool]:
        """Hold the lock `name`, alone or with all that share it; False where it was not free for `timeout` seconds."""

    def whose(self, name: str) -> str:
        """Who holds it, or where to look, and what to do; the end of an error."""

    def discard(self, below: str) -> None:
        """Forget what is left of the locks below a name that nobody needs any more."""


@contextmanager
def lock(home: Home, name: str, timeout: float = _PATIENCE) -> Iterator[None]:
    """Hold the lock `name`; it is freed when its process dies. Raises EvergreenError after `timeout` seconds."""
    with _locked(_locks(home), name, timeout):
        yield


@contextmanager
def lock_here(home: Home, name: str, timeout: float = _PATIENCE) -> Iterator[None]:
    """As `lock`, by a file wherever the ledger is: for what is this machine's own."""
    with _locked(_files(home), name, timeout):
        yield


@contextmanager
def attempt(home: Home, name: str, outwait: bool = False) -> Iterator[bool]:
    """Hold the lock `name` if nobody else does; False, at once, where somebody does.

    With `outwait` only once it is sure that somebody lives: a lock may outlive who is killed on another host.
    """
    locks = _locks(home)
    with locks.take(name, locks.outlives if outwait else 0) as held:
        yield held


def discard(home: Home, name: str) -> None:
    """Remove what is left of the locks below `name`, which nobody needs any more."""
    _locks(home).discard(name)


@contextmanager
def using(home: Home) -> Iterator[None]:
    """Keep `sweeping` away; any number of processes may use the stores at once."""
    locks = _locks(home)
    with locks.take(_STORES, _PATIENCE, shared=True) as held:
        if not held:
            raise EvergreenError(f"`evergreen gc` has been freeing space for {_PATIENCE:.0f} s: {locks.whose(_STORES)}")
        yield


@contextmanager
def sweeping(home: Home, patience: float) -> Iterator[bool]:
    """Be alone with the stores; False where somebody still used them after `patience` seconds."""
    with _locks(home).take(_STORES, patience) as held:
        yield held


@contextmanager
def _locked(locks: Locks, name: str, timeout: float) -> Iterator[None]:
    with ExitStack() as stack:
        if not stack.enter_context(locks.take(name, 0)):
            faults.point("lock.waits")
            if not stack.enter_context(locks.take(name, timeout)):
                raise EvergreenError(f"`{name}` has been locked for {timeout:.0f} s: {locks.whose(name)}")
        yield


def _locks(home: Home) -> Locks:
    files = _files(home)  # nothing is written without a lock, so this is the first of all
    if not os.environ.get("EVERGREEN_LEDGER_URL"):
        return files
    from evergreen.locks.rows import rows_of

    return rows_of(home) or files


def _files(home: Home) -> Files:
    files = Files(home)
    try:
        stamp(home)
    except OSError as error:  # a home without is of format 1; the next one writes it, when `evergreen gc` made room
        if error.errno not in FULL:
            raise
    return files
