"""A process that takes a lock, says so, and gives it back when it is told: `python -m tests.locks.holding`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from evergreen.locks import attempt, lock, sweeping, using
from evergreen.paths import Home

ROOT = Path(__file__).parents[2]  # not from conftest, which clears the environment
KINDS: dict[str, Any] = {
    "lock": lambda home: lock(home, "small/jobs"),
    "attempt": lambda home: attempt(home, "small/jobs"),
    "using": using,
    "sweeping": lambda home: sweeping(home, 0.1),
}
NOTES = "notes.txt"  # in the home: who came in and went out, in order


class Holding:
    """The process. What it says is read line by line, so nothing waits longer than it must."""

    def __init__(self, home: Home, kind: str = "lock", **env: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.locks.holding", str(home.root), kind], cwd=ROOT, env=os.environ | env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pid = self._process.pid

    def said(self) -> str:
        """The next thing that it says; nothing when it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go_on(self) -> None:
        """Let it give the lock back."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Wait for its end; how it ended, and what it logged."""
        streams = self._process.stdin, self._process.stdout, self._process.stderr
        code = self._process.wait(timeout=120)
        err = self._process.stderr.read() if self._process.stderr else ""
        for stream in streams:
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        return code, err

    def kill(self) -> None:
        """`kill -9`, and not waited for: what is left is an id that the system still knows."""
        self._process.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        """Let it stand still."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it run again."""
        self._process.send_signal(signal.SIGCONT)


def note(home: Home, what: str) -> None:
    """Write a line."""
    with (home.root / NOTES).open("a") as file:
        file.write(f"{what} {os.getpid()}\n")


def main(root: str, kind: str) -> None:
    """Hold it until a line comes."""
    home = Home(Path(root))
    with KINDS[kind](home) as held:
        if held is not False:
            note(home, "in")
        print("not held" if held is False else "held", flush=True)
        sys.stdin.readline()
        if held is not False:
            note(home, "out")
    print("given back", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
