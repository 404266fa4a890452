"""A search through the real retrain DAG, its trials as mapped tasks; then a retrain that takes its choice over."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import mlflow
import pytest

from evergreen.clock import format_time
from evergreen.ledger import Ledger
from evergreen.project import Project
from evergreen.registry.trials import TRIAL
from evergreen.stages.search import search
from tests.data import day, write_drops
from tests.pipeline.conftest import Loop, clone_repository, environment
from tests.pipeline.run_dag import SKIPPED
from tests.pipeline.test_loop import outputs
from tests.search.conftest import SPACE, with_search

FIRST, LATER = format_time(day(63)), format_time(day(77))
SECTION = f"{{trials: 5, parallel: 2, space: {SPACE}}}"


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Loop:
    """The small use case with something to search, under a name of its own."""
    base = tmp_path_factory.mktemp("searching")
    root = base / "clone"
    clone_repository(root, with_search(SECTION, "searching"))
    write_drops(root / "drops", days=91, until=77)
    made = Loop(root, environment(base, [root], mlflow_uri), "searching")
    made.run(sys.executable, "-m", "airflow", "db", "migrate")
    assert made.dag("ingest", as_of=LATER)["state"] == "success"
    return made


def committed(loop: Loop, build: str, name: str = "search.json") -> str:
    """A file of a build's tag."""
    return loop.run("git", "show", f"build/searching/{build}:{name}").stdout


def trials(loop: Loop) -> list[Mapping[str, str]]:
    """The tags of all runs that show trials."""
    client = mlflow.MlflowClient(loop.env["MLFLOW_TRACKING_URI"])
    found = client.search_runs([client.get_experiment_by_name("searching").experiment_id])
    return [run.data.tags for run in found if TRIAL in run.data.tags]


def test_1_trials_are_mapped_tasks_and_their_choice_is_committed_with_the_build(searching: Loop) -> None:
    run = searching.dag("retrain", as_of=FIRST, search=True)
    assert run["state"] == "success"
    assert {task for task, state in run["tasks"].items() if state != "success"} == {"ask[-1]", "approve[-1]"}
    assert {"search.trial[0]", "search.trial[1]"} <= set(run["tasks"])
    champion = Ledger.open(searching.project.home).champion("searching")
    assert champion is not None
    found = json.loads(committed(searching, champion.build))
    assert len(found["trials"]) == 6
    shown = trials(searching)
    assert sorted(tags[TRIAL] for tags in shown) == [f"searching/{champion.build}/{number}" for number in range(6)]
    assert {tags["evergreen.state"] for tags in shown} == {"complete"}


def test_2_one_process_finds_the_same(searching: Loop, tmp_path: Path) -> None:
    build = Ledger.open(searching.project.home).champion("searching").build
    here = searching.project.home.builds("searching") / build
    alone = Project.load(here, tmp_path / "another-home")
    before = committed(searching, build)
    assert (here / "search.json").read_text() == before
    search(alone)
    assert (here / "search.json").read_text() == before


def test_3_a_fresh_clone_reproduces_the_build_with_what_was_chosen(searching: Loop, tmp_path: Path) -> None:
    build = Ledger.open(searching.project.home).champion("searching").build
    lock = searching.reproduced(f"build/searching/{build}", tmp_path / "fresh")
    assert outputs(lock) == outputs(committed(searching, build, "dvc.lock"))


def test_4_a_retrain_that_does_not_search_takes_the_champion_s_choice_over(searching: Loop) -> None:
    champion = Ledger.open(searching.project.home).champion("searching")
    assert champion is not None
    run = searching.dag("retrain", as_of=LATER)
    assert {task for task, state in run["tasks"].items() if state != "success"} - {"promote[-1]"} == SKIPPED
    build = run["xcoms"]["snapshot[-1]"]["return_value"]
    assert build != champion.build
    assert committed(searching, build) == committed(searching, champion.build)
    assert len(trials(searching)) == 6, "its trials are those of the build that made them"


def test_5_a_search_that_nothing_is_configured_for_says_what_is_missing(searching: Loop) -> None:
    params = searching.root / "params.yaml"
    params.write_text(with_search("{space: {}}", "searching"))
    searching.run("git", "commit", "-qam", "no space")
    run = searching.run(sys.executable, "-c", ASKED, str(searching.root), format_time(day(76)), check=False)
    assert "a search was asked for, and the committed params.yaml has no search.space" in run.stderr
    assert run.stdout == "[]\nnone\n"


# Asked, it refuses; not asked, it goes on with the base commit's: the champion's is of another space.
ASKED = """
import sys
from evergreen.builds import build as builds, search
from evergreen.clock import parse_time
from evergreen.errors import BuildError
from evergreen.project import Project
from evergreen.training.chosen import SearchRecord
project = Project.load(sys.argv[1])
with open("/dev/null", "w") as sys.stdout:
    build = builds.take_snapshot(project, parse_time(sys.argv[2])).build
sys.stdout = sys.__stdout__
try:
    search.plan(project, build, asked=True)
except BuildError as error:
    print(error, file=sys.stderr)
print(search.plan(project, build))
print(SearchRecord.read(builds.ensure_build(project, build).project.search).method)
"""
