"""Processes as a drill sees them: stopped, killed, waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import takewhile
from typing import TypeVar

import psutil

from evergreen.local.processes import wait_gone

T = TypeVar("T")


def until(found: Callable[[], T | None], seconds: float, otherwise: str) -> T:
    """What `found` finds, asked again and again: of what it looks at (Airflow's API, processes) nobody tells us."""
    deadline = time.monotonic() + seconds
    while True:
        if result := found():
            return result
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


def go_on(process: psutil.Process) -> None:
    """Let a stopped process go on."""
    os.kill(process.pid, signal.SIGCONT)


def kill(pid: int) -> None:
    """`kill -9`, and the process is gone afterwards."""
    process = psutil.Process(pid)
    process.kill()
    assert wait_gone([process], 30)


def waits(command: subprocess.Popen[bytes]) -> bool:
    """Whether a command still runs after it has had time to do its work."""
    try:
        command.wait(8)
    except subprocess.TimeoutExpired:
        return True
    return False


def parent_named(process: psutil.Process, word: str) -> psutil.Process:
    """The nearest ancestor whose command line has this word."""
    return next(parent for parent in process.parents() if word in parent.cmdline())


def of_task(stage: psutil.Process) -> list[psutil.Process]:
    """The stage and all that runs it: its dvc and their guard, which know the build, and the task above them."""
    parents = stage.parents()
    guarded = list(takewhile(lambda parent: "EVERGREEN_BUILD" in parent.environ(), parents))
    return [stage, *guarded, parents[len(guarded)]]
