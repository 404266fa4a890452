"""A limit for a whole answer: a timeout is for each part of it alone, and a server may send byte after byte."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any


class Watch:
    """Knows the sockets of one client, as `trace` is told of them, and shuts them down when the time is over."""

    def __init__(self) -> None:
        self.over = False
        self._sockets: list[socket.socket] = []

    @contextmanager
    def until(self, end: float) -> Iterator[None]:
        """Whoever waits for the server when `end` (of the monotonic clock) is there finds the connection closed."""
        self.over = False
        timer = threading.Timer(max(0.0, end - time.monotonic()), self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """An event of httpcore: a connection was made, or becomes one of TLS, which takes over its socket."""
        step = event.partition(".")[2]
        if step == "start_tls.started" and self._sockets:
            self._sockets[-1] = self._sockets[-1].dup()
        elif step in ("start_tls.complete", "start_tls.failed") and self._sockets:
            self._sockets.pop().close()
        if step in ("connect_tcp.complete", "start_tls.complete"):
            self._sockets = [one for one in self._sockets if one.fileno() >= 0]
            self._sockets.append(info["return_value"].get_extra_info("socket"))

    def _end(self) -> None:
        self.over = True
        for one in self._sockets:
            with suppress(OSError):  # it is closed
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # and not as TLS does, which another thread may be in
