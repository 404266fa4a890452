"""An end to waiting for a PostgreSQL server that neither answers nor closes the connection: stopped, or its disk hangs.

The driver waits in C, where no signal and no time limit reaches it; its `cancel` asks the same server, and TCP's own
limits say nothing, for the server's kernel still answers. So another thread shuts the connection's socket down, upon
which libpq says that the connection is lost.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Watch:
    """Of one session: how long it waits for its server at most."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.expired = False
        self._before = frozenset[tuple[int, int]]()
        self._own: frozenset[tuple[int, int]] | None = None  # until the connection is made: all that are new

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Wait for what the block makes, a connection whose sockets the driver does not tell."""
        self.expired, self._before, self._own = False, _sockets(), None
        with self.waiting():
            yield
        self._own = _sockets() - self._before

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for the server in the block, and not for ever."""
        timer = threading.Timer(self.timeout, self._shut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _shut(self) -> None:
        self.expired = True
        there = _sockets()
        for number, _ in there - self._before if self._own is None else there & self._own:
            # A copy: this one is closed here, and the driver closes its own.
            with suppress(OSError), socket.socket(fileno=os.dup(number)) as copy:
                copy.shutdown(socket.SHUT_RDWR)


def _sockets() -> frozenset[tuple[int, int]]:
    """The open sockets of this process: descriptor and inode, for a descriptor is soon another's."""
    found = set()
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # that of the listing itself is closed by now
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode):
                found.add((int(name), status.st_ino))
    return frozenset(found)
