"""Who holds a lock: this process as others are told of it, and whether a process that is told of has surely died."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import uuid
from functools import cache
from pathlib import Path
from typing import NamedTuple

_LONGEST = 120


class Holder(NamedTuple):
    """A process. `place` is whose process ids are meant: which start of which system, and which container."""

    host: str
    place: str
    pid: int
    started: int | None  # in the system's ticks since it runs; two processes of one id differ in it


class _Stat(NamedTuple):
    state: str
    threads: int
    started: int


def this_process() -> Holder:
    """The process that asks."""
    stat = _stat("self")
    return Holder(socket.gethostname(), _place(), os.getpid(), stat.started if stat else None)


def what() -> str:
    """What it does, for people: the task of Airflow's that it is, else its command."""
    parts = [os.environ.get(f"AIRFLOW_CTX_{name}") for name in ("DAG_ID", "TASK_ID", "DAG_RUN_ID")]
    if parts[0] and parts[1]:
        return " ".join(part for part in (f"{parts[0]}.{parts[1]}", parts[2]) if part)
    said = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 3]}..."


def has_died(holder: Holder) -> bool:
    """Whether it has surely died. False for a process of another host, of which nothing is known here."""
    here = this_process()
    if (holder.host, holder.place) != (here.host, here.place):
        return False
    try:
        os.kill(holder.pid, 0)  # finds also processes that this user may not see in /proc
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    stat = _stat(str(holder.pid))
    if stat is None or holder.started is None:
        return False
    # One that nobody has waited for yet still has an id.
    return stat.started != holder.started or (stat.state in "ZX" and stat.threads <= 1)


@cache
def _place() -> str:
    """Where nothing tells it, as on other systems than Linux, a place of this process alone: nobody dies there."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        spaces = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "time")]
    except OSError:
        return uuid.uuid4().hex
    return " ".join((boot, *spaces))


def _stat(pid: str) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # after the name, which may hold anything
    return _Stat(fields[0], int(fields[17]), int(fields[19]))
