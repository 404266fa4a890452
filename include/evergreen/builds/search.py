"""The search of a build, task by task: it runs in the build's worktree, and its search.json is committed with it.

A build that does not search takes over what an earlier search chose: that of its base commit, or of the build that was
champion at its moment, where that is of the same estimator and space and has looked at later labels.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from evergreen.builds.command import environment
from evergreen.builds.git import git, resolve
from evergreen.builds.process import run_guarded
from evergreen.builds.records import SEARCH_FILE, Build, Clone, write_record
from evergreen.builds.worktree import ensure_build, held
from evergreen.clock import format_time
from evergreen.disk import full_disk_is_said
from evergreen.errors import BuildError
from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.ledger import Ledger
from evergreen.locks import using
from evergreen.paths import build_tag
from evergreen.project import Project
from evergreen.training.chosen import AGAIN, NONE, SearchRecord

log = logging.getLogger(__name__)


@full_disk_is_said()
def plan(project: Project, build: str, asked: bool = False) -> list[int]:
    """Begin the build's search, and number the workers that run its trials; none where it does not search.

    It searches where search.when is `always`, or it is asked to. Else its search.json is taken over here. A build that
    has one already keeps it. Raises BuildError where a search is asked for and none is configured, and where what there
    is to take over does not go with params.yaml.
    """
    with held(Clone.of(project), build) as here:
        search = here.project.params.search
        if SEARCH_FILE in here.record.files or resolve(here.clone.repository, f"refs/tags/{here.tag}"):
            log.info("the build has its search.json already")
            return []
        if asked and not search.space:
            raise BuildError(
                "a search was asked for, and the committed params.yaml has no search.space (docs/search.md)"
            )
        if not search.space or not (asked or search.when == "always"):
            _take_over(here)
            return []
    _run(here, "plan")
    return list(range(search.parallel))


@full_disk_is_said()
def trials(project: Project, build: str) -> None:
    """Run trials of the build's search until none is left; any number of these may run at once."""
    _run(ensure_build(project, build), "trials")


@full_disk_is_said()
def choose(project: Project, build: str) -> None:
    """Write the build's search.json, and keep it in the build's record, so that it can be restored."""
    _run(ensure_build(project, build), "choose")
    with held(Clone.of(project), build) as here:
        _keep(here, (here.project.root / SEARCH_FILE).read_text())


def _run(here: Build, step: str) -> None:
    # Not under the build's lock: workers run side by side. Who frees space leaves it alone all the same.
    with using(here.clone.home):
        command = [str(Path(sys.executable).parent / "evergreen"), "search", "--step", step]
        finished = run_guarded(command, here.project.root, environment(here))
    if finished.code:
        lines = "\n".join(line for line in finished.tail if line)
        raise BuildError(f"the search of the build {here.id} failed at `{step}` (status {finished.code}):\n{lines}")


def _take_over(here: Build) -> None:
    found = list(_earlier(here))
    fitting = [(record, whose) for record, whose in found if record.misfit(here.project.params) is None]
    searched = [one for one in fitting if one[0].cutoff is not None]
    if not fitting:
        why = found[0][0].misfit(here.project.params)
        raise BuildError(f"the committed search.json does not go with params.yaml: {why}; {AGAIN}")
    record, whose = max(searched, key=lambda one: one[0].cutoff or here.record.as_of, default=fitting[0])
    known = f", of labels known up to {format_time(record.cutoff)}" if record.cutoff else ""
    log.info("no search in this build: search.json is that of %s (%s%s)", whose, record.method, known)
    _keep(here, record.text())


def _earlier(here: Build) -> Iterator[tuple[SearchRecord, str]]:
    """What there is to take over: the base commit's first, and what the champion of the build's moment has."""
    place = (here.clone.folder / SEARCH_FILE).as_posix()
    yield _committed(here, here.record.base, place), "the base commit"
    champion = Ledger.open(here.clone.home).champion(here.clone.name, here.record.as_of)
    tag = f"refs/tags/{build_tag(here.clone.name, champion.build)}" if champion else None
    if champion and tag and resolve(here.clone.repository, tag):
        yield _committed(here, tag, place), f"the champion {champion.build}"


def _committed(here: Build, revision: str, place: str) -> SearchRecord:
    if not git(here.clone.repository, "ls-tree", revision, "--", place):
        return NONE  # a commit of before there was a search
    return SearchRecord.parse(git(here.clone.repository, "show", f"{revision}:{place}"), f"search.json of {revision}")


def _keep(here: Build, text: str) -> None:
    write_atomic(here.project.root / SEARCH_FILE, text)
    point("build.searched")
    write_record(here.clone, here.id, here.record.model_copy(update={"files": here.record.files | {SEARCH_FILE: text}}))
