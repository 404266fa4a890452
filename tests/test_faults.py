"""Points at which tests kill or stop a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PASS = "from evergreen.faults import point\nfor _ in range(3): point('a.b'); print('passed', flush=True)\n"


def run(**env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PASS], env=os.environ | env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("at", "passed"), [("a.b", 0), ("a.b:3", 2), ("a.c", 3)])
def test_a_process_dies_where_it_is_told_to(at: str, passed: int) -> None:
    done = run(EVERGREEN_KILL_AT=at)
    assert done.stdout == "passed\n" * passed
    assert done.returncode == (0 if passed == 3 else -signal.SIGKILL)


def test_an_armed_point_acts_once(tmp_path: Path) -> None:
    (tmp_path / "a.b").write_text("kill\n")
    assert run(EVERGREEN_FAULTS=str(tmp_path)).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["a.b.reached"]
    assert run(EVERGREEN_FAULTS=str(tmp_path)).returncode == 0


def test_a_stopped_process_goes_on_when_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "a.b").write_text("stop")
    process = subprocess.Popen([sys.executable, "-c", PASS], env=os.environ | {"EVERGREEN_FAULTS": str(tmp_path)})
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert (tmp_path / "a.b.reached").read_text() == str(process.pid)
    os.kill(process.pid, signal.SIGCONT)
    assert process.wait() == 0
