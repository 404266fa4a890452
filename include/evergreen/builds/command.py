"""DVC as a subprocess in a build's worktree."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

from evergreen.builds.git import git_environment
from evergreen.builds.process import Finished, run_guarded
from evergreen.builds.records import Build
from evergreen.errors import BuildError

# DVC's exit status is 255 for every failure: only these two pass by themselves.
_PASSING = ("is busy", "acquire lock")
_PATIENCE = 60.0
# Of dvc itself, or of a stage, as a shell or as Python counts it: 128 + 9, or -9.
_KILLED = "It was killed from outside: by a person, or by the system because memory ran out. Run the task again."


def dvc(build: Build, *arguments: str, quiet: bool = False) -> Finished:
    """Run `dvc <arguments>` in the build's project. Raises BuildError with its last lines when it fails."""
    finished = call_dvc(build, *arguments, quiet=quiet)
    if finished.code != 0:
        lines = "\n".join(line for line in finished.tail if line)
        killed = f"\n{_KILLED}" if finished.code in (137, -9) or re.search(r"exited with (137|-9)\b", lines) else ""
        raise BuildError(
            f"`dvc {' '.join(arguments)}` failed in the build {build.id} (status {finished.code}):\n{lines}{killed}\n"
            f"To see it by hand: cd {build.project.root} && dvc {' '.join(arguments)}"
        )
    return finished


def call_dvc(build: Build, *arguments: str, quiet: bool = False) -> Finished:
    """Like `dvc`, and hand back any exit status; waits up to a minute where another process holds DVC's lock."""
    # -P: the project's folder must not shadow the modules of dvc.
    command = [sys.executable, "-P", "-m", "dvc", *arguments]
    deadline = time.monotonic() + _PATIENCE
    while True:
        finished = run_guarded(command, build.project.root, environment(build), quiet)
        busy = finished.code != 0 and any(text in line for line in finished.tail for text in _PASSING)
        if not busy or time.monotonic() > deadline:
            return finished
        time.sleep(1)


def environment(build: Build) -> dict[str, str]:
    """The variables of a build's stages: the worktree's own code, one thread, this interpreter's commands."""
    inherited = git_environment()
    code = build.worktree / "include"
    paths = [str(code)] if code.is_dir() else []
    paths += [inherited["PYTHONPATH"]] if inherited.get("PYTHONPATH") else []
    return inherited | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "SHELL": "/bin/sh",  # dvc runs commands in it: not in the user's own, with its start-up files
        "OMP_NUM_THREADS": "1",
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it asks for each bucket's layout, which emulators do not know
        "EVERGREEN_HOME": str(build.clone.home.root),
        "EVERGREEN_PROJECT": str(build.project.root),
        "EVERGREEN_BUILD": build.id,
        **({} if build.tracked else {"MLFLOW_TRACKING_URI": ""}),
    }
