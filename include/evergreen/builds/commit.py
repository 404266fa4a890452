"""The build as a tagged commit, made without git's index so that a kill at any step leaves nothing in the way."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from evergreen.builds.dvc import assert_up_to_date, push
from evergreen.builds.git import git, resolve
from evergreen.builds.records import BUILD_FILES, SEARCH_FILE, Build, Clone
from evergreen.builds.worktree import held
from evergreen.clock import format_time
from evergreen.errors import BuildError
from evergreen.faults import point

_WHO = ("Evergreen", "evergreen@localhost")


@dataclass(frozen=True)
class Commit:
    """A finished build in git."""

    sha: str
    tag: str


def commit_build(build: Build) -> Commit:
    """Commit the build's dvc.lock, snapshot and search.json on its base, push its data, tag it `build/<name>/<id>`.

    The commit id is a function of the build: run again it is the same, whatever was killed before. The tag comes
    last, so a build that has one can be pulled. Raises BuildError where outputs are stale, where other tracked files
    of the worktree were changed, and where the tag stands for another content.
    """
    with held(build.clone, build.id) as here:
        _assert_nothing_else_changed(here)
        sha = write_commit(here)
        existing = resolve(here.clone.repository, f"refs/tags/{here.tag}")
        if existing is None:
            assert_up_to_date(here)
            point("commit.written")
            push(here)
            point("commit.pushed")
            _write_tag(here.clone, here.tag, sha)
            point("commit.tagged")
        elif existing != sha:
            raise BuildError(
                f"the tag {here.tag} stands for {existing}, but the build now gives {sha}: its inputs changed; give "
                f"another as_of, or remove the old build (`git tag -d {here.tag}`)"
            )
        return Commit(sha, here.tag)


def write_commit(build: Build) -> str:
    """Write the build's commit object and give its id; no ref moves."""
    repository, root = build.clone.repository, build.project.root
    entries = []
    for name in (*BUILD_FILES, SEARCH_FILE):
        if not (root / name).exists():
            if name == SEARCH_FILE:  # a project of before there was a search
                continue
            raise BuildError(f"{root / name} is missing: run the build's stages first")
        blob = git(repository, "hash-object", "-w", "--no-filters", str(root / name))
        entries.append(f"100644 {blob}\t{(build.clone.folder / name).as_posix()}")
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git(repository, "read-tree", build.record.base, env=index)
        git(repository, "update-index", "--add", "--index-info", env=index, stdin="\n".join(entries) + "\n")
        tree = git(repository, "write-tree", env=index)
    moment = f"{int(build.record.as_of.timestamp())} +0000"
    identity = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in zip(("NAME", "EMAIL", "DATE"), (*_WHO, moment), strict=True)
    }
    message = f"Build {build.clone.name}/{build.id}\n\nas_of {format_time(build.record.as_of.replace(microsecond=0))}\n"
    return git(repository, "commit-tree", tree, "-p", build.record.base, "-F", "-", env=identity, stdin=message)


def _write_tag(clone: Clone, tag: str, sha: str) -> None:
    # Only the holder of the build's lock writes this tag, so a lock file of git's on it is a killed writer's.
    (clone.repository / ".git" / "refs" / "tags" / f"{tag}.lock").unlink(missing_ok=True)
    git(clone.repository, "update-ref", f"refs/tags/{tag}", sha, "")


def _assert_nothing_else_changed(build: Build) -> None:
    """A changed params.yaml or code would be in the outputs and not in the commit."""
    ours = {(build.clone.folder / name).as_posix() for name in (*BUILD_FILES, SEARCH_FILE)}
    changed = set(git(build.worktree, "diff", "--name-only", build.record.base).splitlines()) - ours
    if changed:
        raise BuildError(
            f"changed in the worktree of the build {build.id}: {', '.join(sorted(changed))}. A build is its base "
            "commit and its snapshot: commit such changes in the main checkout and open another build"
        )
