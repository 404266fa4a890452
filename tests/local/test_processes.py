"""A stack's processes are found by their environment, and nobody else's are touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from evergreen.local.processes import MARK, PROGRAM, end, marked

Start = Callable[..., subprocess.Popen[str]]
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python process that says that it is there and waits; `first` is run before."""
    started: list[subprocess.Popen[str]] = []

    def begin(first: str = "", **environ: str) -> subprocess.Popen[str]:
        code = f"{first}\nprint('here', flush=True)\nimport signal; signal.pause()"
        process = subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_only_the_marked_are_found(start: Start) -> None:
    one = start(**{MARK: "/home/a", PROGRAM: "mlflow"})
    two = start(**{MARK: "/home/a", PROGRAM: "scheduler"})
    start(**{MARK: "/home/b", PROGRAM: "mlflow"})
    start()
    assert {process.pid for process in marked("/home/a")} == {one.pid, two.pid}
    assert [process.pid for process in marked("/home/a", "mlflow")] == [one.pid]


def test_the_caller_and_its_ancestors_are_spared() -> None:
    code = (
        "import os, subprocess, sys; from evergreen.local.processes import marked\n"
        "print([process.pid for process in marked('/home/c')])\n"
        "if len(sys.argv) == 1: subprocess.run([sys.executable, __file__ if '__file__' in dir() else '-c', CODE, '1'])"
    )
    code = f"CODE = {code!r}\n{code}".replace("__file__ if '__file__' in dir() else '-c', CODE", "'-c', CODE")
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, MARK: "/home/c"}, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["[]", "[]"]


def test_the_stubborn_are_killed(start: Start) -> None:
    meek, stubborn = start(**{MARK: "/home/d"}), start(STUBBORN, **{MARK: "/home/d"})
    assert end(marked("/home/d"), grace=0.3) == 2
    assert marked("/home/d") == []
    assert (meek.wait(5), stubborn.wait(5)) == (-15, -9)


def test_the_stopped_act_on_it(start: Start) -> None:
    process = start("import os, signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(3))", **{MARK: "/home/f"})
    (found,) = marked("/home/f")
    found.suspend()
    assert end([found], grace=60) == 1
    assert process.wait(5) == 3


def test_the_guard_ends_leftovers_and_becomes_the_command(start: Start) -> None:
    left = start(**{MARK: "/home/e", PROGRAM: "mlflow"})
    other = start(**{MARK: "/home/e", PROGRAM: "scheduler"})
    run = subprocess.run(
        [sys.executable, "-m", "evergreen.local.guard", sys.executable, "-c", "print('the server')"],
        env={**os.environ, MARK: "/home/e", PROGRAM: "mlflow"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.splitlines()[-1] == "the server"
    assert "ended 1 processes" in run.stdout
    assert left.wait(5) == -15
    assert other.poll() is None
