"""Subprocesses that never outlive the task that started them."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evergreen.builds import guard

TAIL = 30


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    tail: tuple[str, ...]  # its last lines, both streams together


def run_guarded(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    quiet: bool = False,
    show: Callable[[str], None] | None = None,
) -> Finished:
    """Run a command, and leave no process of it behind, however this one ends.

    Its lines are printed as they come, or given to `show`; `quiet` keeps them for the result alone.
    """
    show = show or partial(print, flush=True)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(guard.__file__), *command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    tail: deque[str] = deque(maxlen=TAIL)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for line in process.stdout:
            tail.append(line.rstrip())
            if not quiet:
                show(tail[-1])
    finally:
        process.stdin.close()  # the guard then ends whatever is left of the command
        code = process.wait()
        process.stdout.close()
    return Finished(code, tuple(tail))


def die_with_parent() -> None:
    """Make this process die with whoever runs it; the command line calls it first inside of a build.

    The kernel is asked to kill it when its parent dies. The parent may be a shell that outlives dvc, so a thread
    waits for the guard as well. Does nothing outside of a build (EVERGREEN_BUILD unset) and on other systems than
    Linux.
    """
    if "EVERGREEN_BUILD" not in os.environ or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(guard.PR_SET_PDEATHSIG, signal.SIGKILL)
    keeper = os.environ.get("EVERGREEN_GUARD")
    if keeper is None:
        return
    try:
        handle = os.pidfd_open(int(keeper))
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)  # it died before it could be watched
    except OSError:
        return  # a kernel or sandbox without pidfd: the parent's death has to do
    threading.Thread(target=_die_with, args=(handle,), daemon=True).start()


def _die_with(handle: int) -> None:
    select.select([handle], [], [])  # readable when the process has ended
    os.killpg(0, signal.SIGKILL)
