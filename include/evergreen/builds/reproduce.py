"""reproduce: from a registry version back to data, code and environment, made again and compared."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict

from evergreen.builds.differences import changed, differences, outputs
from evergreen.builds.rebuild import Rebuilt, rebuilt
from evergreen.errors import RegistryError
from evergreen.project import Project
from evergreen.registry.lineage import disagreements, find_build


class ReproduceResult(BaseModel):
    """What a version was made of, and what differs where it was made again."""

    model_config = ConfigDict(frozen=True)

    version: int | None
    build: str
    tag: str
    commit: str
    snapshot: str
    identical: bool  # every output has the recorded bytes
    outputs: dict[str, str]  # the recorded MD5 of each
    differences: list[str]
    environment: list[str]  # what this environment has otherwise than the one that made the build
    registry: list[str]  # what MLflow says otherwise than the build's tag, or why it was not asked
    worktree: str | None  # where it was left


def reproduce(project: Project, which: str, keep: bool = False) -> ReproduceResult:
    """Make the build of a version, an alias or an id again and compare every output with what was recorded.

    The stages run as the tag has them, on its snapshot, in a worktree beside; `keep` leaves that. Raises BuildError
    where tag or snapshot are gone, RegistryError where nothing knows the version.
    """
    build, version = find_build(project, which)
    with rebuilt(project, build, keep) as again:
        snapshot = json.loads(again.made.snapshot.read_text())["id"]
        found = differences(again.lock, again.lock_made, again.recorded, again.made.build)
        return ReproduceResult(
            version=version,
            build=build,
            tag=again.tag,
            commit=again.commit,
            snapshot=snapshot,
            identical=not found,
            outputs=outputs(again.lock),
            differences=found,
            environment=_environment(again),
            registry=_registry(project, build, again, snapshot),
            worktree=str(again.made.root) if keep else None,
        )


def _registry(project: Project, build: str, again: Rebuilt, snapshot: str) -> list[str]:
    """Where MLflow disagrees; that it does not answer now costs nobody what was just made and compared."""
    try:
        return disagreements(project, build, again.lock, again.recorded, snapshot)
    except RegistryError as error:
        return [f"not compared with MLflow: {error}"]


def _environment(again: Rebuilt) -> list[str]:
    """The packages and kernels that differ: the first thing to look at where bytes do."""
    if again.recorded is None:
        return []
    was, now = (
        json.loads((folder / "training.json").read_text())["environment"]
        for folder in (again.recorded, again.made.build)
    )
    return changed(was, now)
