"""A build as the retrain run sees it, task by task: ids go in and come out, never a path."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from evergreen.builds.dvc import add_snapshot
from evergreen.builds.dvc import run_stage as run_dvc_stage
from evergreen.builds.records import Clone
from evergreen.builds.worktree import ensure_build, held, open_build
from evergreen.disk import full_disk_is_said
from evergreen.params.tracked import require_tracked
from evergreen.project import Project


class Taken(NamedTuple):
    """A build with its snapshot."""

    build: str
    snapshot: str


@full_disk_is_said()
def take_snapshot(project: Project, as_of: datetime, base_commit: str | None = None) -> Taken:
    """Open the build of `as_of` and put its snapshot in: the rows known by then, under DVC."""
    from evergreen.stages.snapshot import snapshot

    build = open_build(project, as_of, base_commit)
    require_tracked(build.project.root, build.project.params)
    with held(Clone.of(project), build.id) as here:
        result = snapshot(here.project, here.record.as_of)
        add_snapshot(here)
    return Taken(build.id, result.id)


@full_disk_is_said()
def run_stage(project: Project, build: str, stage: str) -> None:
    """Run one DVC stage of a build in its worktree. Raises BuildError with the stage's last lines."""
    run_dvc_stage(ensure_build(project, build), stage)


def run_url(project: Project, build: str) -> str | None:
    """Where the build's MLflow run is looked at; None where nothing tracks."""
    from evergreen.registry.tracking import run_url

    return run_url(project.name, build)
