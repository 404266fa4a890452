"""One server as supervisord runs it."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

# -P: a module in the working folder must not stand in for a library.
PYTHON = (sys.executable, "-P")


@dataclass(frozen=True)
class Program:
    """A name, a command, and how it is stopped."""

    name: str
    command: tuple[str, ...]
    stop_as_group: bool = True
    stop_seconds: int = 15
    stop_signal: str = "TERM"
    folder: Path | None = None  # that it runs in; the home's run folder without


def log_tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, indented; says so where there is none."""
    try:
        with path.open(errors="replace") as stream:
            return "".join(f"    {line}" for line in deque(stream, lines)).rstrip() or "    (the log is empty)"
    except FileNotFoundError:
        return "    (there is no log yet)"
