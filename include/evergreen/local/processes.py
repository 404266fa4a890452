"""The processes of one home's stack, known by what their environment says and never by their name."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

# supervisord gets it, and every process below inherits it: servers, tasks, and what tasks start.
MARK = "EVERGREEN_STACK"
PROGRAM = "SUPERVISOR_PROCESS_NAME"


def marked(mark: str, program: str | None = None) -> list[psutil.Process]:
    """The living processes of the stack `mark`, or of one of its programs; never the caller or its ancestors."""
    import psutil

    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in own or not alive(process):
            continue
        with contextlib.suppress(psutil.Error, OSError):
            environ = process.environ()
            if environ.get(MARK) == mark and program in (None, environ.get(PROGRAM)):
                found.append(process)
    return found


def end(processes: Iterable[psutil.Process], grace: float) -> int:
    """Ask the processes to end, and kill what is left after `grace` seconds; return how many there were."""
    import psutil

    left = list(processes)
    count = len(left)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
            process.resume()  # one that was stopped could not act on it
    if not wait_gone(left, grace):
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        wait_gone(left, 10)
    return count


def wait_gone(processes: Iterable[psutil.Process], seconds: float) -> bool:
    """Whether all are gone before `seconds` are over."""
    left, deadline = list(processes), time.monotonic() + seconds
    while left := [process for process in left if alive(process)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie that nobody has waited for does not."""
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
