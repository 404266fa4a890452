"""Builds that the gate did not take, and worktrees that nobody works in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evergreen.builds.checkout import remove_worktree
from evergreen.builds.git import git
from evergreen.builds.records import record_place
from evergreen.errors import RegistryError
from evergreen.faults import point
from evergreen.files import remove
from evergreen.gc.kinds import Item, size_of
from evergreen.gc.mlflow import THEN
from evergreen.gc.scene import Scene
from evergreen.locks import attempt
from evergreen.paths import build_tag


class Candidates:
    """Tag, bundle, worktree and record of an expired build. Its decisions and their evidence stay."""

    name = "candidates"
    why = "judged and not taken, or never finished, and older than retention.candidates"

    def find(self, scene: Scene) -> list[Item]:
        """The expired builds of which anything is left. Raises RegistryError where the challenger is not known."""
        if scene.mlflow_away:
            raise RegistryError(
                "MLflow does not answer, or MLFLOW_TRACKING_URI does not name it, so it is not known which build is "
                f"the challenger, and no build was freed: start it (`evergreen up`), and {THEN}"
            )
        tagged, found = scene.tagged(), []
        for build in sorted(scene.expired()):
            places = [scene.home.models(scene.name) / build, record_place(scene.clone, build)]
            places += [scene.home.card(scene.name, build)]
            places += [scene.clone.worktree(build), scene.clone.dvc_scratch(build)]
            places += scene.home.searches(scene.name).glob(f"{build}-*")
            if build in tagged or any(place.exists() for place in places):
                found.append(Item(build, sum(map(size_of, places))))
        return found

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Free build by build; one whose lock is held is left."""
        for item in items:
            with attempt(scene.home, scene.clone.lock_of(item.id)) as mine:
                if mine and item.id in scene.expired():
                    _forget(scene, item.id)
                    yield item


def _forget(scene: Scene, build: str) -> None:
    """The bundle first and the record last: while any of it is there, the build is found again."""
    remove_worktree(scene.clone, build)
    remove(scene.clone.dvc_scratch(build))
    point("gc.build.worktree")
    for journal in scene.home.searches(scene.name).glob(f"{build}-*"):
        remove(journal)
    remove(scene.home.models(scene.name) / build)
    remove(scene.home.card(scene.name, build))
    point("gc.build.bundle")
    tag = f"refs/tags/{build_tag(scene.name, build)}"
    (scene.clone.repository / ".git" / f"{tag}.lock").unlink(missing_ok=True)  # a killed writer's: its lock is ours
    git(scene.clone.repository, "update-ref", "-d", tag)
    point("gc.build.tag")
    remove(record_place(scene.clone, build))


class Worktrees:
    """Worktrees of kept builds; whoever needs one makes it again from the tag, or the record, and DVC."""

    name = "worktrees"
    why = "older than retention.worktrees; made again when needed"

    def find(self, scene: Scene) -> list[Item]:
        """The worktrees, with their registration in git and what DVC noted of them."""
        return [
            Item(build, size_of(scene.clone.worktree(build)) + size_of(scene.clone.dvc_scratch(build)))
            for build in scene.stale_worktrees()
        ]

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Free those whose lock nobody holds."""
        for item in items:
            with attempt(scene.home, scene.clone.lock_of(item.id)) as mine:
                if mine and item.id in scene.stale_worktrees():
                    remove(scene.clone.dvc_scratch(item.id))
                    remove_worktree(scene.clone, item.id)
                    yield item


class Registrations:
    """What git remembers of worktrees of this home that are gone."""

    name = "git worktree registrations"
    why = "their worktree is gone"

    def find(self, scene: Scene) -> list[Item]:
        """The entries, each named by its folder."""
        found = []
        for entry in sorted((scene.clone.repository / ".git" / "worktrees").glob("*")):
            pointer = entry / "gitdir"
            place = pointer.read_text().strip() if pointer.exists() else ""
            ours = place.startswith(f"{scene.home.root}/builds/")
            if ours and scene.untouched(entry) and not (entry.parent / place).exists():
                found.append(Item(str(entry), size_of(entry)))
        return found

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Remove the entries; one of a worktree that is being made is newer than `find` takes."""
        still = {item.id for item in self.find(scene)}
        for item in items:
            if item.id in still:
                remove(Path(item.id))
                yield item
