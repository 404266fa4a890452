"""Nothing survives its task: real processes, really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from evergreen.builds.process import run_guarded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; the guard's pipe works elsewhere too")

# A task that runs a stand-in of dvc, which starts a stage and waits for it; the stage says all their pids into a FIFO.
TASK = """
import os, sys
from pathlib import Path
from evergreen.builds.process import run_guarded
run_guarded(sys.argv[2:], Path.cwd(), dict(os.environ, FIFO=sys.argv[1]))
"""
DVC = """
import os, subprocess, sys
os.environ['DVC'] = str(os.getpid())
subprocess.run(['/bin/sh', '-c', sys.argv[1]])
"""
STAGE = """
import os, signal
from evergreen.builds.process import die_with_parent
die_with_parent()
open(os.environ['FIFO'], 'w').write(f"{os.environ['EVERGREEN_GUARD']} {os.environ['DVC']} {os.getpid()}")
signal.pause()
"""


@pytest.mark.parametrize("victim", ["task", "guard", "dvc"])
def test_a_kill_of_any_leaves_no_process(tmp_path: Path, victim: str) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.py").write_text(DVC)
    command = [sys.executable, str(tmp_path / "dvc.py"), f"{sys.executable} {tmp_path / 'stage.py'}"]
    task = subprocess.Popen(
        [sys.executable, "-c", TASK, str(fifo), *command], env=os.environ | {"EVERGREEN_BUILD": "any"}
    )
    guard, dvc, stage = (psutil.Process(int(pid)) for pid in fifo.read_text().split())
    everyone = {"task": psutil.Process(task.pid), "guard": guard, "dvc": dvc, "stage": stage}
    os.kill(everyone[victim].pid, signal.SIGKILL)
    task.wait(timeout=20)
    _, alive = psutil.wait_procs([guard, dvc, stage], timeout=20)
    assert not alive


def test_a_deaf_stage_dies_too(tmp_path: Path) -> None:
    """One that is no `evergreen` command, in a shell that stays: the guard ends the whole group."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"sh -c 'trap \"\" TERM HUP INT; echo $$ > {fifo}; cat {tmp_path / 'hang'}; true'; true"
    os.mkfifo(tmp_path / "hang")
    task = subprocess.Popen([sys.executable, "-c", TASK, str(fifo), "/bin/sh", "-c", script])
    stage = psutil.Process(int(fifo.read_text()))
    children = psutil.Process(task.pid).children(recursive=True)
    assert stage in children
    os.kill(task.pid, signal.SIGKILL)
    task.wait(timeout=20)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_an_exception_in_the_task_ends_the_command(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(number: int, frame: object) -> None:
        raise Stop

    previous = signal.signal(signal.SIGUSR1, stop)
    code = (
        "import os, signal; open('pid', 'w').write(str(os.getpid())); os.kill(int(os.environ['TASK']), signal.SIGUSR1)"
    )
    command = [sys.executable, "-c", f"{code}; signal.pause()"]
    try:
        with pytest.raises(Stop):
            run_guarded(command, tmp_path, os.environ | {"TASK": str(os.getpid())})
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_exit_status_and_last_lines_come_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    finished = run_guarded(["/bin/sh", "-c", "seq 100; echo bad >&2; exit 7"], tmp_path, os.environ)
    assert finished.code == 7
    assert finished.tail[-2:] == ("100", "bad")
    assert len(finished.tail) == 30
    assert capfd.readouterr().out.splitlines()[0] == "1"
    assert run_guarded(["/bin/sh", "-c", "kill -9 $$"], tmp_path, os.environ).code == 128 + 9
