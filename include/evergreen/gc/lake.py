"""Files of the lake that its manifests and records do not name: what killed runs left, and what was replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from evergreen.files import read_json
from evergreen.gc.kinds import Item, Kind, free_paths, paths
from evergreen.gc.scene import Scene
from evergreen.lake import predictions, raw
from evergreen.lake.manifests import read_manifests
from evergreen.quality.records import FileValidation

Finder = Callable[[Path, str], list[Path]]  # of a lake and a table


class RawOrphans:
    """Raw files that no manifest names."""

    name = "raw orphans"
    why = "no manifest names them: a killed ingest left them"

    def find(self, scene: Scene) -> list[Item]:
        """Those of every table that the lake has, declared or not."""
        return _find(scene, "raw", _raw)

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Free them table by table, where no ingest runs."""
        yield from _free(self, scene, items, "ingest")


class CleanOrphans:
    """Clean and quarantine files that no validation record names."""

    name = "clean and quarantine orphans"
    why = "no validation record names them: a later validation replaced them, or a killed one left them"

    def find(self, scene: Scene) -> list[Item]:
        """Those of every table; where a record was replaced within the hour, somebody may still read the old file."""
        return _find(scene, "clean", _clean("clean")) + _find(scene, "quarantine", _clean("quarantine"))

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Free them table by table, where no validation runs."""
        yield from _free(self, scene, items, "validate")


class PredictionOrphans:
    """Files of predictions that no manifest names."""

    name = "prediction orphans"
    why = "no manifest names them: a killed score left them"

    def find(self, scene: Scene) -> list[Item]:
        """Those of the use case."""
        scene.project.refresh()
        return paths(path for path in predictions.find_orphans(scene.project.lake) if scene.untouched(path))

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Free them, where no score runs."""
        yield from free_paths(scene, self, items, f"{scene.name}/score")


def _raw(lake: Path, table: str) -> list[Path]:
    return raw.find_orphans(lake, table, read_manifests(raw.raw_folder(lake, table)))


def _clean(kind: str) -> Finder:
    def find(lake: Path, table: str) -> list[Path]:
        records = sorted((lake / "validation" / table).glob("*.json"))
        then = f"remove it and run `evergreen validate {table}`, which makes it anew"
        read = [read_json(FileValidation, path, then) for path in records]
        named = {place for record in read for place in (record.clean, record.quarantine)}
        there = [path for path in (lake / kind / table).glob("*") if path.is_file()]
        return [path for path in there if path.relative_to(lake).as_posix() not in named]

    return find


def _find(scene: Scene, kind: str, orphans: Finder) -> list[Item]:
    lake, found = scene.project.lake, []
    scene.project.refresh()  # also again, under the lock: else what another host has just committed would be an orphan
    for table in sorted(path.name for path in (lake / kind).glob("*") if path.is_dir()):
        found += [path for path in orphans(lake, table) if scene.untouched(path) and _settled(scene, table, path)]
    return paths(found)


def _settled(scene: Scene, table: str, path: Path) -> bool:
    """Whether the record of the raw file that `path` was made of is older than what may still be read by it."""
    record = scene.project.lake / "validation" / table / f"{path.name.lstrip('.').split('.')[0]}.json"
    return path.parent.parent.name == "raw" or not record.exists() or scene.untouched(record)


def _free(kind: Kind, scene: Scene, items: Sequence[Item], stage: str) -> Iterator[Item]:
    tables = dict.fromkeys(_table(scene, item) for item in items)
    for table in tables:
        mine = [item for item in items if _table(scene, item) == table]
        yield from free_paths(scene, kind, mine, f"{scene.name}/{stage}/{table}")


def _table(scene: Scene, item: Item) -> str:
    return Path(item.id).relative_to(scene.project.lake).parts[1]
