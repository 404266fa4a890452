"""What a build is: a moment, a base commit and a worktree, and the record that lets all of it be made again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from evergreen.builds.git import git, resolve
from evergreen.errors import BuildError
from evergreen.files import read_json, write_atomic
from evergreen.locks import lock, using
from evergreen.paths import Home, build_tag
from evergreen.project import Project

# What a build adds to its base commit, in the project's folder.
SNAPSHOT_FILES = ("snapshot.json", "data.dvc")
BUILD_FILES = ("dvc.lock", *SNAPSHOT_FILES)
SEARCH_FILE = "search.json"  # what the build's own search chose, or one before it


@dataclass(frozen=True)
class Clone:
    """Where a use case lives in its git clone; `folder` is relative to the checkout's top."""

    repository: Path
    folder: Path
    name: str
    home: Home

    @classmethod
    def of(cls, project: Project) -> Clone:
        """The clone of a project, which may itself lie in a build's worktree."""
        asked = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir")
        top, common = git(project.root, *asked).splitlines()
        return cls(Path(common).parent, project.root.relative_to(top), project.name, project.home)

    def worktree(self, build: str) -> Path:
        """The build's worktree."""
        return self.home.builds(self.name) / build

    def dvc_scratch(self, build: str) -> Path:
        """What DVC notes for itself of a build: its own, since each push begins by throwing it away."""
        return self.home.dvc / "site" / self.name / build

    @contextmanager
    def locked(self, build: str) -> Iterator[None]:
        """Hold the build's lock, which is not re-entrant; `evergreen gc` leaves what the build stands on alone."""
        with lock(self.home, self.lock_of(build)), using(self.home):
            yield

    def lock_of(self, build: str) -> str:
        """The name of the build's lock."""
        return f"{self.name}/build/{build}"


class Record(BaseModel):
    """`builds/<name>/<id>.json`: what a build's worktree is made from. `files` is empty until the snapshot is in."""

    model_config = ConfigDict(frozen=True)

    as_of: datetime
    base: str
    files: dict[str, str] = {}


@dataclass(frozen=True)
class Build:
    """One build on disk. `project` is the use case in the build's worktree."""

    clone: Clone
    id: str
    record: Record
    project: Project
    uncommitted: tuple[str, ...] = ()  # tracked files changed in the main checkout, which do not run
    tracked: bool = True  # whether its stages show themselves in MLflow

    @property
    def worktree(self) -> Path:
        """The top of the worktree."""
        return self.clone.worktree(self.id)

    @property
    def tag(self) -> str:
        """The git tag of the finished build."""
        return build_tag(self.clone.name, self.id)


def write_record(clone: Clone, build: str, record: Record) -> None:
    """Keep a build's record."""
    write_atomic(record_place(clone, build), record.model_dump_json(indent=1))


def read_record(clone: Clone, build: str) -> Record | None:
    """A build's record: as kept, else as its tag tells it (another machine's build); None for an unknown build."""
    place = record_place(clone, build)
    if place.exists():
        return read_json(
            Record, place, "remove it, and run the retrain again from its first task, which opens the build", BuildError
        )
    tag = resolve(clone.repository, f"refs/tags/{build_tag(clone.name, build)}")
    if tag is None:
        return None
    base, moment = git(clone.repository, "show", "-s", "--format=%P %ct", tag).split()
    files = {
        name: git(clone.repository, "show", f"{tag}:{(clone.folder / name).as_posix()}") + "\n"
        for name in SNAPSHOT_FILES
    }
    return Record(as_of=datetime.fromtimestamp(int(moment), UTC), base=base, files=files)


def load_project(clone: Clone, build: str) -> Project:
    """The project in a build's worktree. Raises BuildError where the base commit does not hold it."""
    root = clone.worktree(build) / clone.folder
    if not (root / "params.yaml").exists():
        raise BuildError(f"the build {build} has no params.yaml: commit {clone.repository / clone.folder} to git first")
    project = Project.load(root, clone.home.root)
    if project.name != clone.name:
        raise BuildError(
            f"the committed params.yaml says `name: {project.name}`, the one in {clone.repository / clone.folder} "
            f"`{clone.name}`: commit it to git first"
        )
    return project


def record_place(clone: Clone, build: str) -> Path:
    """Where a build's record is kept."""
    return clone.home.builds(clone.name) / f"{build}.json"
