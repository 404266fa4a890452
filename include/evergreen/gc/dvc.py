"""DVC's cache and remote: the objects that no tag, branch, worktree or open build names.

`dvc gc` would have to be told every project of the clone, opens each tag by itself (a second a tag), and knows nothing
of a build that is open. What names an object is text with its hash in it, so all of them are read at once: every
dvc.lock and .dvc file of every ref and worktree, and the records of the builds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from evergreen.builds.git import git
from evergreen.errors import BuildError
from evergreen.gc.kinds import Item, files_of, free_alone, read_text, stat_of
from evergreen.gc.scene import Scene
from evergreen.gc.space import taken
from evergreen.paths import build_tag

# YAML quotes a hash that it would else read as a number, such as one with nothing but digits.
_HASH = re.compile(r"""\bmd5: ['"\\]*([0-9a-f]{32}(?:\.dir)?)\b""")
_OBJECT = re.compile(r"[0-9a-f]{30}(?:\.dir)?$")


class _Objects:
    """The objects of a store in the home."""

    name: str
    why = "no tag, branch, worktree or open build names them"
    folder: str

    def find(self, scene: Scene) -> list[Item]:
        """The objects, directories first: DVC takes a directory that is there for all of its files."""
        objects = _objects(scene, scene.home.dvc / self.folder / "files" / "md5")
        if not objects:
            return []
        used = used_objects(scene)
        unused = [item for item in objects if _hash_of(item) not in used]
        return sorted(unused, key=lambda item: (not item.id.endswith(".dir"), item.id))

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Delete them while no stage of a build runs: between two stages, a build says on disk what it needs."""
        yield from free_alone(scene, self, items)


class Cache(_Objects):
    """The cache that all builds share."""

    name = "DVC cache"
    folder = "cache"


class Remote(_Objects):
    """The default remote. One elsewhere may be other clones' too, whose tags are not known here: it is left alone."""

    name = "DVC remote"
    folder = "remote"


class RunCache:
    """What DVC remembers of stages whose outputs are gone."""

    name = "DVC run cache"
    why = "the outputs that it would give are gone"

    def find(self, scene: Scene) -> list[Item]:
        """The entries, each a run of a stage."""
        entries = [*files_of(scene.home.dvc / "cache" / "runs")]
        if not entries:
            return []
        used, found = used_objects(scene), []
        for entry in entries:
            stat = stat_of(entry)
            outs = read_text(Path(entry.path)).partition("\nouts:")[2]
            if stat and stat.st_mtime < scene.started and not set(_HASH.findall(outs)) <= used:
                found.append(Item(entry.path, taken(stat)))
        return sorted(found)

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Delete them while no stage of a build runs."""
        yield from free_alone(scene, self, items)


def used_objects(scene: Scene) -> set[str]:
    """The hashes that anything names, of every use case; those of directories with all of their files.

    A dry run counts what would be free once the kinds before this one are. Raises BuildError where the home holds
    builds that this clone has no tag of: then it cannot be known what they need.
    """
    _require_all_tags(scene)
    repository = scene.clone.repository
    gone = scene.expired() if scene.dry else {}
    tags = {f"refs/tags/{build_tag(scene.name, build)}" for build in gone}
    heads = git(repository, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    commits = {sha for ref, sha in (line.split() for line in heads) if ref not in tags}
    trees = {scene.clone.worktree(build) for build in (*gone, *(scene.stale_worktrees() if scene.dry else ()))}
    texts = []
    for place, head in _worktrees(repository):
        if place in trees:
            continue
        commits.add(head)
        named = git(place, "ls-files", "-z", "-co", "--exclude-standard", "--", "*dvc.lock", "*.dvc").split("\0")
        texts += [read_text(place / name) for name in named if name and (place / name).is_file()]
    records = (scene.home.root / "builds").glob("*/*.json")
    ours = scene.home.builds(scene.name)
    texts += [read_text(path) for path in records if path.parent != ours or path.stem not in gone]
    used = set(_HASH.findall("\n".join([*texts, _committed(repository, commits)])))
    return used | {file for one in used if one.endswith(".dir") for file in _files(scene.home.dvc, one)}


def _committed(repository: Path, commits: set[str]) -> str:
    """The text of every file of these commits whose path speaks of DVC."""
    listed = git(repository, "rev-list", "--objects", "--no-walk", "--stdin", stdin="\n".join(sorted(commits)) + "\n")
    lines = (line.partition(" ") for line in listed.splitlines())
    # A folder `.dvc` is no such file; where a folder has such a name, what is read of it is no hash of DVC's.
    named = ((sha, path.rpartition("/")[2]) for sha, _, path in lines)
    blobs = [sha for sha, name in named if (name.endswith(".dvc") and name != ".dvc") or "dvc.lock" in name]
    return git(repository, "cat-file", "--batch", stdin="\n".join(blobs) + "\n") if blobs else ""


def _worktrees(repository: Path) -> Iterator[tuple[Path, str]]:
    """The clone's worktrees that are there, with their HEAD; a clone without a commit has none."""
    place = repository
    for line in git(repository, "worktree", "list", "--porcelain").splitlines():
        key, _, value = line.partition(" ")
        if key == "worktree":
            place = Path(value)
        elif key == "HEAD" and place.is_dir() and set(value) != {"0"}:
            yield place, value


def _require_all_tags(scene: Scene) -> None:
    tags = set(git(scene.clone.repository, "for-each-ref", "--format=%(refname)", "refs/tags/build/").splitlines())
    bundles = (path for path in (scene.home.root / "models").glob("*/*") if not path.name.startswith("."))
    wanted = {f"refs/tags/{build_tag(path.parent.name, path.name)}" for path in bundles}
    if missing := sorted(wanted - tags):
        names = {path.parent.name for path in (scene.home.root / "models").glob("*/*")}
        promoted = {
            f"refs/tags/{build_tag(name, one.build)}" for name in names for one in scene.ledger.promotions(name)
        }
        serving, others = [tag for tag in missing if tag in promoted], [tag for tag in missing if tag not in promoted]
        then = f", or, of {_shown(others)}, remove the folders from models/" if others else ""
        then += f". Keep the folders of {_shown(serving)}: they were promoted and serve" if serving else ""
        raise BuildError(
            f"{scene.home.root} holds {len(missing)} builds that {scene.clone.repository} has no tag of "
            f"({_shown(missing)}), so what they need is not known and nothing of DVC was freed: fetch the tags from "
            f"the clone that made them, or restore them from a backup{then}"
        )


def _shown(tags: Sequence[str]) -> str:
    return ", ".join(tag.removeprefix("refs/tags/") for tag in tags[:3]) + (", ..." if len(tags) > 3 else "")


def _objects(scene: Scene, store: Path) -> list[Item]:
    """The objects that are older than this clean-up; what is no object, and older by an hour, is a killed copy's."""
    found = []
    for entry in files_of(store):
        stat = stat_of(entry)
        if stat and stat.st_mtime < scene.started and (_OBJECT.match(entry.name) or scene.untouched(Path(entry.path))):
            found.append(Item(entry.path, taken(stat)))
    return found


def _hash_of(item: Item) -> str:
    path = Path(item.id)
    return path.parent.name + path.name if _OBJECT.match(path.name) else ""


def _files(dvc: Path, directory: str) -> list[str]:
    """The files of a directory's object; none where neither store has it, since then nobody can check it out."""
    for store in ("cache", "remote"):
        path = dvc / store / "files" / "md5" / directory[:2] / directory[2:]
        if path.exists():
            return [file["md5"] for file in json.loads(path.read_bytes())]
    return []
