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
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Watch:
    """Of one session: how long it waits for its server at most.

    One thread sleeps until the earliest moment at which a wait may be too long: a timer for each batch of rows would
    take a twentieth of a read.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.expired = False
        self._due: float | None = None  # when the wait that goes on is too long
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
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
        if self._thread is None:
            self._ended.clear()
            self._thread = threading.Thread(target=self._look, name="postgres-watch", daemon=True)
            self._thread.start()
        with self._lock:
            self._due = time.monotonic() + self.timeout
        try:
            yield
        finally:
            with self._lock:
                self._due = None

    def close(self) -> None:
        """End the thread; another wait starts it again."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None

    def _look(self) -> None:
        """A wait that begins meanwhile is too long later than the one that is slept for: all take as long at most."""
        left = self.timeout
        while not self._ended.wait(left):
            with self._lock:
                left = self.timeout if self._due is None else self._due - time.monotonic()
                if left <= 0:
                    self._due, left = None, self.timeout
                    self._shut()

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
