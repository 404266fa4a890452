"""What one kind of thing that can go has to say and do; the catalog lists them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from evergreen.files import remove
from evergreen.gc.scene import Scene
from evergreen.gc.space import measure
from evergreen.locks import attempt, sweeping

PATIENCE = 10.0  # seconds to wait for a step of a build; where it takes longer, the next clean-up comes too


class Item(NamedTuple):
    """One thing that can go; `id` names it among its kind."""

    id: str
    size: int  # bytes


class Kind(Protocol):
    """A kind of thing that can go. `find` changes nothing, and says the same while nothing else does.

    `free` looks again under the locks of those who make or use such things, and gives each item when it is gone: what
    is in use, or is needed by now, is not given. Killed anywhere, and run again, it ends the same.
    """

    name: str
    why: str  # it can go

    def find(self, scene: Scene) -> list[Item]:
        """What can go now."""

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Free the items that still can go."""


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files of a folder; 0 where there is none."""
    return measure(path)[0]


def files_of(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Every file below a folder; what disappears meanwhile is passed over."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from files_of(entry.path)
                else:
                    yield entry
    except FileNotFoundError:
        return


def stat_of(entry: os.DirEntry[str]) -> os.stat_result | None:
    """What is told of a file; None where it has disappeared."""
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def read_text(path: Path) -> str:
    """The text of a file; none where it has disappeared."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def paths(found: Iterable[Path]) -> list[Item]:
    """Items that are files or folders."""
    return [Item(str(path), size_of(path)) for path in sorted(found)]


def free_paths(scene: Scene, kind: Kind, items: Sequence[Item], lock: str) -> Iterator[Item]:
    """Delete files and folders under a lock, those that can still go; none where somebody holds it."""
    with attempt(scene.home, lock) as mine:
        if not mine:
            return
        yield from _still(scene, kind, items)


def free_alone(scene: Scene, kind: Kind, items: Sequence[Item]) -> Iterator[Item]:
    """Delete files and folders that can still go, while nobody uses the stores; none where somebody does for long."""
    with sweeping(scene.home, PATIENCE) as alone:
        if alone:
            yield from _still(scene, kind, items)


def _still(scene: Scene, kind: Kind, items: Sequence[Item]) -> Iterator[Item]:
    still = {item.id for item in kind.find(scene)}
    for item in items:
        if item.id in still:
            remove(Path(item.id))
            yield item
