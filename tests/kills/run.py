"""One ingest as a process of its own, which may be killed: forked from a Python that has imported all and done nothing.

What the process comes by is written down as it happens, so that it is known of a killed one too.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.kills.worlds import Failed

Say = Callable[[str, str], None]
AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)
LOADED = [
    "__main__", "pyarrow.parquet", "pyarrow.csv", "pyarrow.json", "pyarrow.compute", "adbc_driver_postgresql.dbapi",
    "confluent_kafka.admin", "google.cloud.storage", "google_crc32c", "httpx", "bs4", "lxml.html", "soupsieve",
    "filelock", "evergreen.project", "evergreen.sources.catalog", "evergreen.stages.ingest", "tests.kills.run",
]  # fmt: skip
REFUSED = 3  # exit status: the source, or a delivery, could not be taken
LONGEST = 120.0  # seconds, also on a machine that is busy with much else
_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.link")


@dataclass(frozen=True)
class Order:
    """What to run."""

    root: Path
    heard: Path  # where the process writes down what it comes by
    sizes: Mapping[str, int] = field(default_factory=dict)  # `<module>:<constant>`, so that a little is much
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """What came of it."""

    code: int  # the exit status, minus the signal
    seconds: float
    points: Counter[str]
    begun: float | None  # seconds until something of the table's in the lake was touched, or a point passed
    ended: bool  # the ingest was over
    orphans: int  # files of killed runs that it removed
    trouble: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def killed_at_work(self) -> bool:
        return self.killed and self.begun is not None and not self.ended


def run(order: Order, delay: float | None = None) -> Ran:
    """Ingest the table; with `delay`, kill the process after so many seconds if it still runs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    order.heard.write_bytes(b"")
    process = context.Process(target=_ingest, args=(order,))
    since = time.monotonic()
    process.start()
    process.join(LONGEST if delay is None else delay)
    hangs = delay is None and process.exitcode is None
    process.kill()  # a process that has ended does not mind
    process.join()
    seconds = time.monotonic() - since
    lines = order.heard.read_text().splitlines()
    heard = Counter(line.removeprefix("point ") for line in lines if line.startswith("point "))
    removed = (re.search(r"removed (\d+) files of a run", line) for line in lines)
    ran = Ran(
        code=process.exitcode if process.exitcode is not None else 0,
        seconds=seconds,
        points=heard,
        begun=next((float(line.split()[1]) - since for line in lines if line.startswith("begun ")), None),
        ended="end of it" in lines,
        orphans=sum(int(found[1]) for found in removed if found),
        trouble="\n".join(line.removeprefix("trouble ") for line in lines if line.startswith("trouble ")),
    )
    process.close()
    if hangs:
        raise Failed(f"an ingest did not end within {LONGEST:.0f} s; it came by:\n" + "\n".join(lines[-20:]))
    return ran


def _ingest(order: Order) -> None:
    """Be the process; never returns."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # die with who forks
    os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(quiet, handle)
    os.environ.update(order.env)
    told = os.open(order.heard, os.O_WRONLY | os.O_APPEND)

    def say(kind: str, text: str) -> None:
        for line in text.splitlines():
            os.write(told, f"{kind} {line}\n".encode())

    begun: list[str] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        is_point = event == "evergreen.point"
        works = arguments[0] != "file.written" if is_point else event in _CHANGES and _is_raw(arguments[0])
        if works and not begun:
            begun.append(event)
            say("begun", str(time.monotonic()))
        if is_point:
            say("point", arguments[0])

    code = 0
    try:
        for place, value in order.sizes.items():
            module, _, name = place.partition(":")
            assert hasattr(import_module(module), name), place
            setattr(import_module(module), name, value)
        logger = logging.getLogger("evergreen.stages.ingest")
        logger.addHandler(_Saying(say))
        logger.setLevel(logging.INFO)
        sys.addaudithook(hear)
        code = _ingest_table(order.root, say)
    except BaseException:
        say("trouble", traceback.format_exc())
        code = 70
    say("end", "of it")
    os._exit(code)


def _is_raw(path: str | bytes) -> bool:
    return "/raw/" in os.fsdecode(path)


def _ingest_table(root: Path, say: Say) -> int:
    from evergreen.errors import SourceError
    from evergreen.project import Project
    from evergreen.stages.ingest import ingest

    try:
        ingest(Project.load(root, root / ".evergreen"), "jobs", AS_OF)
    except SourceError as error:
        say("trouble", str(error))
        return REFUSED
    return 0


class _Saying(logging.Handler):
    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say("log", record.getMessage())
