"""The DVC steps of a build: the snapshot goes in, stages run one at a time, and all of it must agree in the end."""

from __future__ import annotations

import shutil

from evergreen.builds.command import call_dvc, dvc
from evergreen.builds.records import SNAPSHOT_FILES, Build, write_record
from evergreen.builds.worktree import held
from evergreen.errors import BuildError
from evergreen.faults import point

# One project's stages and snapshot; without targets DVC would take every project of the clone.
TARGETS = ("dvc.yaml", "data.dvc")
_CLOUD = ("status", "--cloud", *TARGETS)


def add_snapshot(here: Build) -> None:
    """Put the worktree's data/ under DVC and keep the snapshot in the build's record, so that it can be restored.

    The caller holds the build's lock.
    """
    for name in ("snapshot.json", "data"):
        if not (here.project.root / name).exists():
            raise BuildError(f"{here.project.root / name} is missing: take the snapshot of this build first")
    dvc(here, "add", "--quiet", "data")
    point("build.added")
    files = here.record.files | {name: (here.project.root / name).read_text() for name in SNAPSHOT_FILES}
    if files != here.record.files:
        write_record(here.clone, here.id, here.record.model_copy(update={"files": files}))


def run_stage(build: Build, stage: str) -> None:
    """Run one stage of the build's dvc.yaml, or take its outputs from the cache; those before it are only checked.

    Its lines go to standard output. Raises BuildError with the last of them when it fails, and where the build has
    no snapshot of its own yet (the base commit's would silently be used).
    """
    with held(build.clone, build.id) as here:
        if not here.record.files:
            raise BuildError(f"the build {here.id} has no snapshot yet: run its task `snapshot` first")
        # Not --single-item: it misses a changed stage before this one, and a worktree made anew lacks the outputs of
        # those, which come from the run cache. Checking them costs a tenth of a second.
        dvc(here, "repro", stage)


def assert_up_to_date(build: Build) -> None:
    """Raise BuildError unless every stage's outputs stem from the inputs that are there."""
    if call_dvc(build, "status", "--quiet", *TARGETS, quiet=True).code == 0:
        return
    lines = "\n".join(dvc(build, "status", *TARGETS, quiet=True).tail)
    raise BuildError(f"the build {build.id} is not up to date; run its stages again, from the first named:\n{lines}")


def push(build: Build) -> None:
    """Copy the build's outputs and its snapshot to the DVC remote, and ask the remote whether it has them.

    `dvc push` alone cannot be trusted: it goes by its own notes of what the remote has, which a push that ended on a
    full disk leaves wrong, and of what it finds nowhere it only warns. Raises BuildError where something is lost.
    """
    shutil.rmtree(build.clone.dvc_scratch(build.id), ignore_errors=True)
    dvc(build, "push", *TARGETS)
    if not _pushed(build):
        lines = "\n".join(line for line in call_dvc(build, *_CLOUD, quiet=True).tail if line)
        raise BuildError(
            f"the DVC remote lacks outputs of the build {build.id}, and the DVC cache too:\n{lines}\n"
            f"Where its worktree still has them: cd {build.project.root} && dvc commit --force; else give another as_of"
        )


def _pushed(build: Build) -> bool:
    return call_dvc(build, *_CLOUD, "--quiet", quiet=True).code == 0
