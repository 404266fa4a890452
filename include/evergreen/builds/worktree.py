"""Opening a build, and making sure that it is there before every step of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from evergreen.builds.checkout import add_worktree, configure_dvc, is_ready, mark_ready
from evergreen.builds.command import call_dvc
from evergreen.builds.git import git, resolve
from evergreen.builds.records import Build, Clone, Record, load_project, read_record, write_record
from evergreen.clock import format_time
from evergreen.errors import BuildError
from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.paths import build_id, build_tag
from evergreen.project import Project

_log = logging.getLogger(__name__)


def open_build(project: Project, as_of: datetime, base_commit: str | None = None) -> Build:
    """Open the build of `as_of` on a commit (default: the main checkout's HEAD): its worktree is there afterwards.

    Opening it again finds it. Files changed in the main checkout and not committed do not run; they are logged, and
    listed in `Build.uncommitted`. Raises BuildError for an unknown commit, for a project that is not committed, and
    where the same id was opened for another moment.
    """
    clone = Clone.of(project)
    base = resolve(clone.repository, base_commit or "HEAD")
    if base is None:
        raise BuildError(f"`{base_commit or 'HEAD'}` is no commit of {clone.repository}: commit, or name another")
    build = build_id(as_of, base)
    moment = as_of.astimezone(UTC)
    with clone.locked(build):
        record = read_record(clone, build)
        if record is None:
            record = Record(as_of=moment, base=base)
            write_record(clone, build, record)
            point("build.recorded")
        elif (record.as_of.replace(microsecond=0), record.base) != (moment.replace(microsecond=0), base):
            raise BuildError(
                f"the build {build} was opened for {format_time(record.as_of)} on {record.base}, not for "
                f"{format_time(moment)} on {base}: give another as_of"
            )
        opened = _ensure(clone, build, record)
    return replace(opened, uncommitted=() if base_commit else _uncommitted(clone))


def ensure_build(project: Project, build_id: str) -> Build:
    """The build, made again where its worktree is gone: from its tag, else from its base commit and snapshot.

    Raises BuildError for a build that was never opened here and has no tag.
    """
    with held(Clone.of(project), build_id) as build:
        return build


@contextmanager
def held(clone: Clone, build: str) -> Iterator[Build]:
    """Hold the build's lock, with its worktree in place."""
    with clone.locked(build):
        record = read_record(clone, build)
        if record is None:
            raise BuildError(
                f"there is no build {build} of {clone.name}: fetch its tag ({build_tag(clone.name, build)}), or start "
                "at the task that opens it"
            )
        yield _ensure(clone, build, record)


def _ensure(clone: Clone, build: str, record: Record) -> Build:
    if is_ready(clone.worktree(build)):
        configure_dvc(clone, build)
        return Build(clone, build, record, load_project(clone, build))
    tag = resolve(clone.repository, f"refs/tags/{build_tag(clone.name, build)}")
    worktree = add_worktree(clone, build, tag or record.base)
    point("build.checked_out")
    configure_dvc(clone, build)
    point("build.configured")
    made = Build(clone, build, record, load_project(clone, build))
    if tag is not None:
        _bring_data(made, "dvc.yaml", "data.dvc")
    elif record.files:
        for name, content in record.files.items():
            write_atomic(made.project.root / name, content)
        _bring_data(made, "data.dvc")
    mark_ready(worktree)
    return made


def _bring_data(build: Build, *targets: str) -> None:
    """Fill the worktree from the DVC cache, else from the remote."""
    if call_dvc(build, "checkout", "--force", *targets, quiet=True).code == 0:
        return
    finished = call_dvc(build, "pull", "--force", *targets, quiet=True)
    if finished.code != 0:
        lines = "\n".join(line for line in finished.tail if line)
        raise BuildError(
            f"the worktree of the build {build.id} was removed, and its data is neither in the DVC cache nor in the "
            f"remote: run it again from its task `snapshot`\n{lines}"
        )


def _uncommitted(clone: Clone) -> tuple[str, ...]:
    changed = tuple(git(clone.repository, "diff", "--name-only", "HEAD").splitlines())
    if changed:
        _log.warning("not committed to git, so not part of this build: %s", ", ".join(changed))
    return changed
