"""What a kill left half-written, evidence of no decision, and DVC's scratch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evergreen.files import remove
from evergreen.gc.kinds import Item, free_alone, free_paths, paths
from evergreen.gc.scene import Scene
from evergreen.stages.snapshot import lock_name
from evergreen.store.base import store_of
from evergreen.store.index import SCRATCH


class Temporaries:
    """Temporary files and folders: every writer here writes beside the place and renames."""

    name = "temporary leftovers"
    why = "a killed run's; whoever runs again makes them anew"

    def find(self, scene: Scene) -> list[Item]:
        """Hidden files of the home's own folders, half-copied bundles, and a snapshot that was never put in place."""
        home, name = scene.home, scene.name
        found = [path for kept in ("clock", "format", "connections") for path in home.root.glob(f".{kept}.json.*")]
        for folder in (scene.project.lake / "validation", home.reports(name), home.evidence):
            found += [path for path in folder.rglob(".*") if path.is_file()]
        for folder in (home.models(name), home.builds(name)):
            found += folder.glob(".*")
        found += home.mirror.glob(f"{SCRATCH}*")
        found.append(scene.project.root / ".data.new")
        if scene.project.data.exists():  # else the old one is the snapshot, and the next run puts it back
            found.append(scene.project.root / ".data.old")
        return paths(path for path in found if scene.untouched(path))

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Delete them: nobody but a run that is long dead knew their names, but for those of a snapshot."""
        shared = [item for item in items if Path(item.id).parent == scene.project.root]
        for item in items:
            if item not in shared:
                remove(Path(item.id))
                yield item
        yield from free_paths(scene, self, shared, lock_name(scene.project))


class Evidence:
    """Evidence that no decision names."""

    name = "evidence without a decision"
    why = "a killed gate left it"

    def find(self, scene: Scene) -> list[Item]:
        """The files whose name no decision of any use case holds."""
        store_of(scene.home.evidence).refresh(scene.home.evidence)
        named = scene.ledger.evidence()
        there = scene.home.evidence.glob("*.parquet")
        return paths(path for path in there if path.stem not in named and scene.untouched(path))

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Free it while no gate runs: what one finds in its place it takes as stored."""
        yield from free_alone(scene, self, items)


class DvcScratch:
    """What DVC noted of worktrees that are gone; an older version kept it for good."""

    name = "DVC scratch"
    why = "its worktree is gone; DVC makes it again"

    def find(self, scene: Scene) -> list[Item]:
        """The folders `<name>/<build>` without a worktree, of every use case."""
        builds = scene.home.root / "builds"
        folders = [path for path in (scene.home.dvc / "site").glob("*/*") if path.is_dir()]
        return paths(path for path in folders if not (builds / path.parent.name / path.name).exists())

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Delete it while no stage of a build runs."""
        yield from free_alone(scene, self, items)
