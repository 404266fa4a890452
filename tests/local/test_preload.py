"""What is imported before the fork starts nothing, and what is forked dies with its parent."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from evergreen.local import preload

PREFIX = "import os, signal, sys; sys.argv = ['airflow', 'scheduler']; from evergreen.local import preload\n"


def python(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREFIX + code],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return run.stdout


def test_no_import_fails_starts_a_thread_or_opens_a_connection() -> None:
    code = (
        "import logging, psutil, threading; logging.basicConfig(stream=sys.stdout)\n"
        "preload.preload(preload.HEAVY)\n"
        "print(threading.active_count(), len(psutil.Process().net_connections('inet')))\n"
        "print([name for name in sys.modules if name.startswith('evergreen.')])\n"
    )
    assert python(code).splitlines() == ["1 0", "['evergreen.local', 'evergreen.local.preload']"]


def test_only_the_scheduler_preloads() -> None:
    code = "sys.argv[1] = 'dag-processor'; preload.install(); print('numpy' in sys.modules)"
    assert python(code).strip() == "False"


def test_a_broken_library_stops_no_scheduler() -> None:
    preload.preload(("no_such_module", "json"))


def test_forks_have_random_numbers_of_their_own() -> None:
    code = (
        "preload.HEAVY = ('numpy',); preload.install(); import numpy\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        print(numpy.random.random(), flush=True); os._exit(0)\n"
        "    os.wait()\n"
    )
    assert len(set(python(code).split())) == 3


def test_worker_and_task_die_with_a_killed_scheduler() -> None:
    """The grandchild holds the pipe open until it is dead: reading to its end returns only then."""
    code = (
        "preload.HEAVY = (); preload.install()\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0: os.write(write, b'x')\n"
        "    signal.pause()\n"
        "os.read(read, 1); print('forked', flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", PREFIX + code], capture_output=True, text=True, timeout=20)
    assert (run.returncode, run.stdout) == (-9, "forked\n")


@pytest.mark.parametrize(("argv", "executor", "forks"), [
    ("scheduler", "LocalExecutor", True), ("scheduler", "CeleryExecutor", False),
    ("celery worker", "CeleryExecutor", True), ("celery flower", "CeleryExecutor", False),
    ("triggerer", "LocalExecutor", False),
])  # fmt: skip
def test_whoever_forks_the_tasks_preloads(argv: str, executor: str, forks: bool) -> None:
    code = (
        f"sys.argv[1:] = {argv.split()!r}; os.environ['AIRFLOW__CORE__EXECUTOR'] = '{executor}'; "
        "preload.HEAVY = ('colorsys',); preload.install(); print('colorsys' in sys.modules)"
    )
    assert python(code).strip() == str(forks)
