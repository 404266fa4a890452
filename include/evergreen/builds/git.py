"""Git as a subprocess, free of the caller's own git environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from evergreen.errors import BuildError


def git_environment() -> dict[str, str]:
    """The environment without variables that would point git elsewhere (a hook sets them), any owner trusted.

    A container often runs as root on a clone that a user owns; git refuses that unless told otherwise.
    """
    inherited = {key: value for key, value in os.environ.items() if key not in _MISLEADING}
    count = int(inherited.get("GIT_CONFIG_COUNT", "0") or 0)
    return inherited | {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": "safe.directory",
        f"GIT_CONFIG_VALUE_{count}": "*",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def git(folder: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> str:
    """The stripped output of `git <arguments>` in `folder`, hooks off. Raises BuildError with git's own words."""
    run = _run(folder, arguments, env, stdin)
    if run.returncode != 0:
        raise BuildError(f"`git {' '.join(arguments)}` failed in {folder}: {run.stderr.strip()}")
    return run.stdout.strip()


def resolve(folder: Path, revision: str) -> str | None:
    """The full id of the commit that `revision` names; None where there is no such commit."""
    run = _run(folder, ("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"), None, None)
    return run.stdout.strip() if run.returncode == 0 else None


def _run(
    folder: Path, arguments: tuple[str, ...], env: Mapping[str, str] | None, stdin: str | None
) -> subprocess.CompletedProcess[str]:
    command = ["git", "-c", f"core.hooksPath={os.devnull}", "-C", str(folder), *arguments]
    return subprocess.run(
        command, env=git_environment() | dict(env or {}), input=stdin, capture_output=True, check=False,
        text=True, errors="replace",
    )  # fmt: skip


_MISLEADING = {
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
}  # fmt: skip
