"""Named points at which a test can kill or stop the process, between two writes that a crash might separate.

`EVERGREEN_KILL_AT=<name>` kills the process at a point, each time that it is run; `<name>:3` at the third passing.
`EVERGREEN_FAULTS=<folder>` arms points while servers run: a file `<folder>/<name>` that holds `kill` or `stop` is
acted on once, by whoever comes there first, and is then `<name>.reached`, which holds that process's id.
Every passing is an audit event, `evergreen.point`, so that a test can hear which points a run comes by.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

_passed: dict[str, Iterator[int]] = {}  # several threads may pass a point: each next() is another number
_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def point(name: str) -> None:
    """Die by SIGKILL, or be stopped by SIGSTOP, if that was asked for here; else nothing."""
    sys.audit("evergreen.point", name)
    wanted, folder = os.environ.get("EVERGREEN_KILL_AT"), os.environ.get("EVERGREEN_FAULTS")
    if wanted:
        passing = next(_passed.setdefault(name, count(1)))
        target, _, time = wanted.partition(":")
        if target == name and passing == int(time or 1):
            os.kill(os.getpid(), signal.SIGKILL)
    if folder:
        _act(Path(folder) / name)


def _act(armed: Path) -> None:
    mine = armed.with_name(f".{armed.name}.{os.getpid()}")
    try:
        armed.rename(mine)  # of two that pass at once, one finds the file
    except FileNotFoundError:
        return
    action = _ACTIONS[mine.read_text().strip()]
    mine.write_text(str(os.getpid()))
    mine.rename(armed.with_name(f"{armed.name}.reached"))
    os.kill(os.getpid(), action)
