"""What a build trains with that does not search: the newest earlier choice that goes with its params.yaml."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from evergreen.builds.dvc import add_snapshot
from evergreen.builds.records import Build
from evergreen.builds.search import plan
from evergreen.builds.worktree import ensure_build, open_build
from evergreen.errors import BuildError
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.project import Project
from evergreen.training.chosen import SearchRecord
from tests.builds.conftest import AS_OF, add_dvc, commit_all, git, write_snapshot
from tests.search.conftest import with_search

SPACE = "{max_iter: [10, 20]}"
CHAMPION = "20130301T0000-1234567"


def record(value: int, cutoff: datetime, values: list[int] | None = None) -> SearchRecord:
    """What a search chose from `values`, having looked at labels up to `cutoff`."""
    space = {"max_iter": {"choices": values or [10, 20]}}
    return SearchRecord(
        method="grid", estimator="hist_gradient_boosting", space=space, cutoff=cutoff, chosen={"max_iter": value}
    )


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project that searches when it is asked to."""
    return add_dvc(make_project(with_search(f"{{space: {SPACE}}}")))


def commit_search(project: Project, found: SearchRecord) -> None:
    found.write(project.search)
    commit_all(project.root, "search")


def promote(project: Project, found: SearchRecord) -> None:
    """Make a build with this search.json the champion of March."""
    commit_search(project, found)
    git(project.root, "tag", f"build/small/{CHAMPION}")
    git(project.root, "reset", "-q", "--hard", "HEAD~1")
    march = datetime(2013, 3, 1, tzinfo=UTC)
    ledger = Ledger.open(project.home)
    told = {"name": "small", "build": CHAMPION, "as_of": march}
    ledger.record_decision(Decision(**told, id="d", kind="gate", verdict="promote", reason="", actor="test"))
    ledger.record_promotion(
        Promotion(**told, version=1, bundle="0" * 64, cutoff=march, decision="d", previous_build=None)
    )


def opened(project: Project, as_of: datetime = AS_OF) -> Build:
    build = open_build(project, as_of)
    write_snapshot(build)
    add_snapshot(build)
    return build


FEBRUARY, JANUARY = datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("committed", "champions", "taken"),
    [
        (record(10, JANUARY), record(20, FEBRUARY), 20),
        (record(10, FEBRUARY), record(20, JANUARY), 10),
        (record(10, JANUARY), record(20, JANUARY), 10),
        (record(10, JANUARY), record(30, FEBRUARY, [20, 30]), 10),
        (record(30, FEBRUARY, [20, 30]), record(20, JANUARY), 20),
        (None, record(20, JANUARY), 20),
        (record(10, JANUARY), None, 10),
        (None, None, None),
    ],
)
def test_the_one_of_later_labels_that_fits_is_taken_over(
    project: Project, committed: SearchRecord | None, champions: SearchRecord | None, taken: int | None
) -> None:
    if committed:
        commit_search(project, committed)
    if champions:
        promote(project, champions)
    build = opened(project)
    assert plan(project, build.id) == []
    found = SearchRecord.read(ensure_build(project, build.id).project.search)
    assert found.chosen.get("max_iter") == taken
    assert found.method == ("grid" if taken else "none")


def test_a_backfill_before_the_champion_does_not_take_its_choice(project: Project) -> None:
    promote(project, record(20, FEBRUARY))
    early = opened(project, datetime(2013, 2, 15, tzinfo=UTC))
    assert plan(project, early.id) == []
    assert SearchRecord.read(early.project.search).method == "none"


def test_what_was_taken_over_stays_whatever_is_promoted_or_killed_meanwhile(project: Project) -> None:
    commit_search(project, record(10, JANUARY))
    build = opened(project)
    code = "import sys; from evergreen.builds.search import plan; from evergreen.project import Project\n"
    code += "plan(Project.load(sys.argv[1]), sys.argv[2])"
    killed = subprocess.run(
        [sys.executable, "-c", code, str(project.root), build.id],
        env=os.environ | {"EVERGREEN_KILL_AT": "build.searched"}, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert plan(project, build.id) == []
    promote(project, record(20, FEBRUARY))
    assert plan(project, build.id, asked=True) == []
    git(project.root, "worktree", "remove", "--force", str(build.worktree))
    assert SearchRecord.read(ensure_build(project, build.id).project.search).chosen == {"max_iter": 10}
    add_snapshot(ensure_build(project, build.id))  # its task was cleared and ran again
    assert plan(project, build.id) == []


def test_what_does_not_go_with_params_yaml_is_said_before_anything_is_trained(project: Project) -> None:
    commit_search(project, record(30, JANUARY, [20, 30]))
    build = opened(project)
    with pytest.raises(
        BuildError, match=r"committed search\.json does not go .* another than .*run `evergreen search`"
    ):
        plan(project, build.id)


def test_a_search_that_is_asked_for_runs_in_the_build_s_own_code_and_says_why_it_fails(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    build = opened(project, AS_OF + timedelta(days=1))
    with caplog.at_level(logging.INFO), pytest.raises(BuildError, match=r"failed at `plan` .*\n.*features\.parquet"):
        plan(project, build.id, asked=True)
