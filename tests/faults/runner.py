"""A warm Python that forks: each request is a real process that runs the command line, without seconds of imports.

`python -m tests.faults.runner` reads one JSON request a line and answers each with one. `start` forks a process that
runs `evergreen <arguments>` and gives its pid; `wait` gives its status, also where it was stopped.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

DEFECT = 70  # exit status of an exception that is no EvergreenError
_LOADED = (
    "duckdb", "ibis", "pyarrow.parquet", "pandas", "great_expectations", "sklearn.ensemble", "skops.io", "scipy.stats",
    "matplotlib.figure", "mlflow", "mlflow.sklearn", "mlflow.pyfunc", "evidently", "evidently.presets", "sqlalchemy",
    "evergreen.cli", "evergreen.builds.build", "evergreen.features.engine", "evergreen.training.pipeline",
    "evergreen.stages.ingest", "evergreen.stages.validate", "evergreen.stages.snapshot", "evergreen.stages.features",
    "evergreen.stages.train", "evergreen.stages.evaluate", "evergreen.stages.track", "evergreen.stages.gate",
    "evergreen.stages.promote", "evergreen.stages.score", "evergreen.stages.monitor",
)  # fmt: skip


def main() -> None:
    """Load what stages need, say so, then serve until the input ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages themselves, when they are imported
        for name in _LOADED:
            import_module(name)
    gc.freeze()
    _answer({"loaded": len(_LOADED)})
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "wait":
            _, status = os.waitpid(request["pid"], os.WUNTRACED)
            _answer({"stopped": True} if os.WIFSTOPPED(status) else {"code": os.waitstatus_to_exitcode(status)})
            continue
        if request["do"] == "mount":
            done = subprocess.run(request["command"], capture_output=True, text=True, check=False)
            _answer({"error": done.stderr if done.returncode else ""})
            continue
        pid = os.fork()
        if pid == 0:
            _child(request)
        _answer({"pid": pid})


def _answer(message: Mapping[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _child(request: Mapping[str, Any]) -> None:
    """Be the process that was asked for; never returns."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # die with the runner
    os.setsid()
    for handle, place in ((1, request["out"]), (2, request["err"])):
        os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), handle)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    heard: list[list[str]] = []
    if request.get("heard"):
        sys.addaudithook(lambda event, arguments: _hear(heard, event, arguments))
        _hear_ledger(heard)
    code = 0
    try:
        _run(request["arguments"])
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:
        traceback.print_exc()
        code = DEFECT
    if request.get("heard"):
        Path(request["heard"]).write_text(json.dumps(heard))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(arguments: list[str]) -> None:
    """`evergreen <arguments>`; after `build` what the retrain DAG's tasks call, which has no command."""
    from evergreen import cli

    if arguments[0] == "build":
        cli.app = lambda: _build(*arguments[1:])
    sys.argv = ["evergreen", *arguments]
    cli.main()


def _build(what: str, which: str) -> None:
    """`snapshot <as_of>`, a DVC stage and `<build>`, or `retrain <as_of>`: all of them, to the promotion."""
    from evergreen.builds.build import run_stage, take_snapshot
    from evergreen.project import Project
    from evergreen.stages.gate import gate
    from evergreen.stages.promote import promote
    from evergreen.stages.track import track

    project = Project.load()
    if what == "snapshot":
        print(take_snapshot(project, datetime.fromisoformat(which)).build)
    elif what == "retrain":
        build = take_snapshot(project, datetime.fromisoformat(which)).build
        for stage in ("features", "train", "evaluate"):
            run_stage(project, build, stage)
        track(project, build)
        promote(project, gate(project, build, datetime.fromisoformat(which), "test").decision)
    else:
        run_stage(project, which, what)


def _hear(heard: list[list[str]], event: str, arguments: tuple[Any, ...]) -> None:
    """Points, and writes that others can see: a rename, a link, a command that changes git or DVC's state."""
    if event == "evergreen.point":
        heard.append(["point", arguments[0]])
    elif event in ("os.rename", "os.link"):
        heard.append(["write", os.fsdecode(arguments[1])])
    elif event == "subprocess.Popen":
        words = [os.fsdecode(word) for word in arguments[1]]
        for known in (("worktree", "add"), ("update-ref",), ("dvc", "add"), ("dvc", "repro"), ("dvc", "push")):
            if any(tuple(words[at : at + len(known)]) == known for at in range(len(words))):
                heard.append(["write", " ".join(known)])


def _hear_ledger(heard: list[list[str]]) -> None:
    from sqlalchemy import Engine, event

    changed: set[int] = set()

    @event.listens_for(Engine, "before_cursor_execute")
    def _(connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("INSERT"):
            changed.add(id(connection.connection))

    @event.listens_for(Engine, "commit")
    def _(connection: Any) -> None:
        if id(connection.connection) in changed:
            changed.clear()
            heard.append(["write", "ledger.db"])


class Runner:
    """The warm Python, as a test uses it."""

    def __init__(self, folder: Path, wrapped: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._count = 0
        root = Path(__file__).parents[2]
        env = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": f"{root}{os.pathsep}{root / 'include'}",
        }
        self._process = subprocess.Popen(
            [*wrapped, sys.executable, "-m", "tests.faults.runner"], cwd=root, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._loading = True

    @property
    def pid(self) -> int:
        """The process that forks."""
        return self._process.pid

    def mount(self, folder: Path, size: int, again: bool = False) -> str:
        """Mount a small disk at `folder`, or give it another size; why that is not possible, else nothing."""
        command = ["mount", "-t", "tmpfs", "-o", f"{'remount,' if again else ''}size={size}", "tmpfs", str(folder)]
        why: str = self._ask(do="mount", command=command)["error"]
        return why

    def close(self) -> None:
        """End it, and with it every process that it started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def start(self, arguments: list[str], env: Mapping[str, str], cwd: Path, heard: Path | None = None) -> Started:
        """Start `evergreen <arguments>`."""
        self._count += 1
        out, err = (self.folder / f"{self._count}.{kind}" for kind in ("out", "err"))
        pid = self._ask(
            do="start", arguments=arguments, env=dict(env), cwd=str(cwd), out=str(out), err=str(err),
            heard=heard and str(heard),
        )["pid"]  # fmt: skip
        return Started(self, pid, out, err)

    def wait(self, pid: int) -> int | None:
        """The exit status, minus the signal that ended it; None where it was stopped."""
        code: int | None = self._ask(do="wait", pid=pid).get("code")
        return code

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        if self._loading:
            self._loading = not self._read()
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


class Started:
    """A process of the runner."""

    def __init__(self, runner: Runner, pid: int, out: Path, err: Path) -> None:
        self._runner, self.pid, self._out, self._err = runner, pid, out, err

    def wait(self) -> int | None:
        """Wait until it has ended, or was stopped (None)."""
        return self._runner.wait(self.pid)

    @property
    def out(self) -> str:
        """What it said."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it said of errors."""
        return self._err.read_text()


if __name__ == "__main__":
    main()
