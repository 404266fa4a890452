"""A finished build, made again from its tag alone: its code, its data and its params, in a worktree of its own."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from evergreen.builds.checkout import add_worktree, configure_dvc, remove_worktree
from evergreen.builds.command import call_dvc, dvc
from evergreen.builds.git import git, resolve
from evergreen.builds.records import Build, Clone, Record, load_project
from evergreen.errors import BuildError
from evergreen.faults import point
from evergreen.paths import build_tag
from evergreen.project import Project

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rebuilt:
    """A build made again: `made` is its project in the worktree, `recorded` the outputs that its tag stands for."""

    build: str
    tag: str
    commit: str
    made: Project
    recorded: Path | None  # None where DVC does not have them any more: hashes alone can be compared
    lock: str  # dvc.lock as the tag has it
    lock_made: str


@contextmanager
def rebuilt(project: Project, build: str, keep: bool = False) -> Iterator[Rebuilt]:
    """Check the build's tag out, bring its snapshot and run every stage again; the worktree goes at the end.

    Nothing is taken from DVC's run cache, nothing of the build itself is touched, and MLflow does not hear of it.
    `keep` leaves the worktree. Raises BuildError where there is no such tag, its snapshot is gone, or a stage fails.
    """
    clone = Clone.of(project)
    tag = build_tag(clone.name, build)
    commit = resolve(clone.repository, f"refs/tags/{tag}")
    if commit is None:
        known = git(clone.repository, "tag", "--list", build_tag(clone.name, "*"), "--sort=-creatordate").splitlines()
        raise BuildError(
            f"there is no tag {tag}, so there is nothing to make again; "
            + (f"the newest is {known[0]}" if known else "no build of this use case has one")
            + ". A build of another clone comes with `git fetch --tags`"
        )
    again = f"{build}-again"
    with clone.locked(again):
        try:
            yield _make(clone, build, again, tag, commit)
        finally:
            if not keep:
                remove_worktree(clone, again)
                shutil.rmtree(clone.dvc_scratch(again), ignore_errors=True)


def _make(clone: Clone, build: str, again: str, tag: str, commit: str) -> Rebuilt:
    add_worktree(clone, again, commit)
    configure_dvc(clone, again)
    moment = datetime.fromtimestamp(int(git(clone.repository, "show", "-s", "--format=%ct", commit)), UTC)
    here = Build(clone, again, Record(as_of=moment, base=commit), load_project(clone, again), tracked=False)
    root = here.project.root
    if not _bring(here, "data.dvc"):
        raise BuildError(
            f"the snapshot of the build {build} is neither in the DVC cache nor in the remote: say where the remote is "
            "that it was pushed to (docs/reproduce-a-build.md), or restore that from a backup"
        )
    lock = (root / "dvc.lock").read_text()
    recorded = _set_aside(here) if _bring(here, "dvc.yaml") else None
    if recorded is None:
        _log.warning("the outputs that %s recorded are not in DVC any more: their hashes alone are compared", tag)
    point("rebuild.brought")
    dvc(here, "repro", "--force")
    return Rebuilt(build, tag, commit, here.project, recorded, lock, (root / "dvc.lock").read_text())


def _bring(here: Build, target: str) -> bool:
    """Fill the worktree from the DVC cache, else from the remote."""
    return any(call_dvc(here, how, "--force", target, quiet=True).code == 0 for how in ("checkout", "pull"))


def _set_aside(here: Build) -> Path:
    """Move the recorded outputs out of the stages' way: what is compared was made now, or it is not there."""
    aside = here.project.root / "recorded"
    here.project.build.rename(aside)
    return aside
