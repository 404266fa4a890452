"""Runs one command in a process group of its own, and ends the whole group with whatever ends first.

`python guard.py COMMAND...`, a plain script that imports the standard library only, stands between a task and dvc.
Its standard input is a pipe that the task holds: when the task dies, even by kill -9, the pipe closes and the group
is killed. When the command dies, what it started is killed too: dvc's stage would otherwise live on, and the next
dvc, finding its lock's owner dead, would start a second writer beside it. When the guard is killed, dvc dies by
PR_SET_PDEATHSIG, and the stage, which watches the guard too, by process.die_with_parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    """The command's exit status, 128 + n where signal n ended it."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def die_with_guard() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=die_with_guard,
        env=os.environ | {"EVERGREEN_GUARD": str(os.getpid())},
    )

    def end_group(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    def watch() -> None:
        sys.stdin.buffer.read()
        end_group()

    signal.signal(signal.SIGTERM, end_group)
    signal.signal(signal.SIGINT, end_group)
    threading.Thread(target=watch, daemon=True).start()
    status = child.wait()
    end_group()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    # Not sys.exit: the watching thread is blocked in a read, and the interpreter would wait for its buffer's lock.
    os._exit(main(sys.argv[1:]))
