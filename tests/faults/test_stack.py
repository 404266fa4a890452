"""Drills on the real local stack: parts killed in the middle of a retrain run, MLflow away, a run marked as failed, and
two of a kind at once.

In order, on one stack. Every retrain makes the same build anew, unless it says otherwise. The first two are not
disturbed, and what the others leave is held against these: the bytes, one MLflow run, one decision, one promotion.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from evergreen.lake.manifests import read_manifests
from evergreen.lake.predictions import read_predictions
from evergreen.ledger.records import Promotion
from evergreen.local.processes import marked, wait_gone
from tests.data import day
from tests.faults.harm import go_on, kill, of_task, parent_named, until, waits
from tests.faults.stacks import RUN_SECONDS, Drills, Made, running

pytestmark = pytest.mark.stack

SKIPPED = {"search.trial", "search.choose", "ask", "approve"}  # by a run that neither searches nor asks anybody
POINT = "train.model"  # in the middle of the stage `train`: one of its models is written
SAME = "the same bytes, one MLflow run, one decision, one promotion"
Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Undisturbed:
    """What a run makes that nobody disturbs, and how long it takes."""

    made: Made
    seconds: float


@pytest.fixture(scope="module")
def drills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drills]:
    with running(tmp_path_factory.mktemp("drills") / "clone") as made:
        yield made


@pytest.fixture(autouse=True)
def afterwards(drills: Drills) -> Iterator[None]:
    yield
    drills.release()


@pytest.fixture(scope="module")
def undisturbed(drills: Drills) -> Undisturbed:
    """The quicker of two, since the first of all waits for what later ones find, such as bytecode."""
    seconds = min(timed(drills), timed(drills))
    made = drills.made()
    assert (made.runs, made.versions, len(made.decisions), len(made.promotions)) == (1, 1, 1, 1)
    return Undisturbed(made, seconds)


def timed(drills: Drills) -> float:
    """How long a run takes now that nobody disturbs."""
    drills.forget()
    began = time.monotonic()
    states = drills.ended(drills.retrain())
    assert {task for task, state in states.items() if state != "success"} == SKIPPED
    return time.monotonic() - began


@pytest.fixture
def champion(drills: Drills) -> Promotion:
    """The champion: that of an earlier drill, or, where `-k` leaves those out, of a retrain."""
    if drills.ledger.champion("small") is None:
        drills.ended(drills.retrain())
    found = drills.ledger.champion("small")
    assert found is not None
    return found


@pytest.mark.parametrize("victim", ["stage", "dvc", "scheduler", "dag-processor", "mlflow", "supervisord"])
def test_a_killed_part_changes_nothing(
    victim: str, drills: Drills, undisturbed: Undisturbed, record_property: Record
) -> None:
    record_property("drill", f"kill -9 of {victim} in the middle of `train`")
    drills.forget()
    drills.arm(POINT)
    began = time.monotonic()
    run = drills.retrain()
    stage = drills.reached(POINT)
    before = marked(str(drills.project.home.root))
    assert stage in before
    pids = {"stage": stage.pid, "dvc": parent_named(stage, "dvc").pid}
    kill(pids.get(victim) or drills.pid(victim))
    if victim in ("dvc", "scheduler"):
        assert wait_gone([stage], 10), f"the stage outlives {victim}"
    elif victim == "supervisord":
        stood = time.monotonic()
        drills.up()
        began += time.monotonic() - stood  # the run waits for a person
        assert wait_gone(before, 0), "a process of the old life lives on"
    elif victim != "stage":
        go_on(stage)
    states = drills.ended(run)
    seconds = time.monotonic() - began
    record_property("disturbed", seconds)
    assert {task for task, state in states.items() if state != "success"} == SKIPPED
    assert drills.made() == undisturbed.made
    if victim in ("stage", "dvc", "scheduler", "supervisord"):
        assert "Where the log of try 1 ends without an error" in drills.log(run, "train")
    now = undisturbed.seconds
    if seconds >= drills.allowed(now):  # has the machine become busier since?
        now = max(now, timed(drills))
    record_property("undisturbed", now)
    assert seconds < drills.allowed(now)
    record_property("outcome", SAME)


def test_a_run_marked_as_failed_ends_and_a_later_one_completes(
    drills: Drills, undisturbed: Undisturbed, record_property: Record
) -> None:
    record_property("drill", "a run marked as failed in the middle of `train`")
    drills.forget()
    drills.arm(POINT)
    run = drills.retrain()
    stage = drills.reached(POINT)
    processes = of_task(stage)
    assert len(processes) >= 4, "stage, dvc, guard and task"
    drills.mark_failed(run)
    assert wait_gone(processes, 60), "its processes live on"
    left = drills.made()
    assert (left.commits, left.decisions, left.promotions) == ({}, [], [])
    drills.ended(drills.retrain())
    assert drills.made() == undisturbed.made
    record_property("outcome", f"its processes end, nothing is promoted; a later run: {SAME}")


def test_mlflow_away_during_train_track_and_gate(
    drills: Drills, undisturbed: Undisturbed, record_property: Record
) -> None:
    record_property("drill", "MLflow stopped during `train` and `track`, and again during `gate` and `promote`")
    drills.forget()
    drills.arm(POINT)
    run = drills.retrain()
    stage = drills.reached(POINT)
    with drills.without("mlflow"):
        go_on(stage)
        drills.wait_for(run, "track", "up_for_retry")
        assert drills.ledger.decisions("small") == []
        drills.arm("gate.evidence")
    gate = drills.reached("gate.evidence")
    with drills.without("mlflow"):
        go_on(gate)
        drills.wait_for(run, "promote", "up_for_retry")
        assert drills.states(run)["gate"] == "success"
        assert drills.ledger.promotions("small") == []
    assert {task for task, state in drills.ended(run).items() if state != "success"} == SKIPPED
    assert drills.made() == undisturbed.made
    record_property("outcome", f"nothing is promoted while it is away; a retry completes: {SAME}")


def test_two_retrains_at_once_of_one_moment(drills: Drills, undisturbed: Undisturbed, record_property: Record) -> None:
    record_property("drill", "two retrain runs at once, as of the same moment")
    drills.forget()
    drills.arm(POINT)
    first = drills.retrain()
    stage = drills.reached(POINT)
    second = drills.retrain()
    drills.wait_for(second, "snapshot", "running")
    go_on(stage)
    drills.ended(first)
    drills.ended(second)
    assert drills.made() == undisturbed.made
    record_property("outcome", f"both succeed: {SAME}")


def test_two_retrains_at_once_of_different_moments(
    drills: Drills, undisturbed: Undisturbed, record_property: Record
) -> None:
    record_property("drill", "two retrain runs at once, as of different moments")
    drills.forget()
    drills.arm(POINT)
    first = drills.retrain()
    stage = drills.reached(POINT)
    second = drills.retrain(day(62))
    drills.wait_for(second, "features", "running")
    go_on(stage)
    drills.ended(first)
    drills.ended(second)
    made = drills.made()
    assert made.outputs.items() >= undisturbed.made.outputs.items()
    assert made.commits.items() >= undisturbed.made.commits.items()
    assert (len(made.commits), made.runs, made.versions, len(made.decisions)) == (2, 2, 2, 2)
    assert len(made.promotions) == 1
    champion = drills.ledger.champion("small")
    assert champion is not None
    assert int(drills.mlflow.get_model_version_by_alias("small", "champion").version) == champion.version
    record_property("outcome", "both succeed: two builds and decisions, one promotion, and the alias is the champion's")


def test_mlflow_away_during_score(drills: Drills, champion: Promotion, record_property: Record) -> None:
    record_property("drill", "MLflow stopped during `ingest` and `score`")
    with drills.without("mlflow"):
        score(drills, 70)
    builds = read_predictions(drills.project.lake, columns=["build"])["build"].to_pylist()
    assert len(builds) > 200
    assert set(builds) == {champion.build}
    record_property("outcome", "scoring goes on with the champion at hand")


def score(drills: Drills, number: int) -> None:
    """Take in what is known on a day, and return when the scoring that this starts has ended."""
    before = len(drills.api.runs("small_score"))
    drills.deliver(number)
    drills.ended(drills.api.trigger("small_ingest", as_of=day(number)))
    until(lambda: len(drills.api.runs("small_score")) > before, RUN_SECONDS, "clean rows start no scoring")
    drills.ended(drills.api.runs("small_score")[0])


def test_two_ingests_at_once(drills: Drills, record_property: Record) -> None:
    record_property("drill", "two ingest runs and `evergreen ingest` at once")
    drills.deliver(77)
    drills.arm("ingest.before_commit")
    runs = [drills.api.trigger("small_ingest", as_of=day(77))]
    task = drills.reached("ingest.before_commit")
    runs.append(drills.api.trigger("small_ingest", as_of=day(77)))
    with drills.command("ingest") as command:
        assert waits(command), "it did not wait for the other's lock"
        go_on(task)
        for run in runs:
            drills.ended(run)
        assert command.wait(120) == 0
    for table in ("jobs", "outcomes"):
        drops = sorted((drills.project.root / "drops").glob(f"{table}-*.csv"))
        files = [file for one in read_manifests(drills.project.lake / "raw" / table) for file in one.files]
        assert sorted(file.origin for file in files) == [f"drops/{path.name}" for path in drops]
        assert sum(file.rows for file in files) == sum(len(path.read_text().splitlines()) - 1 for path in drops)
    record_property("outcome", "all succeed, and each row is in the lake once")


def test_two_monitors_at_once(drills: Drills, champion: Promotion, record_property: Record) -> None:
    record_property("drill", "two monitor runs and `evergreen monitor` at once")
    if not read_predictions(drills.project.lake, columns=["build"]).num_rows:  # run alone, without the drills above
        for number in (70, 77):
            score(drills, number)
    drills.arm("monitor.recorded")
    runs = [drills.api.trigger("small_monitor", as_of=day(77))]
    task = drills.reached("monitor.recorded")
    runs.append(drills.api.trigger("small_monitor", as_of=day(77)))
    with drills.command("monitor") as command:
        assert waits(command), "it did not wait for the other's lock"
        go_on(task)
        for run in runs:
            drills.ended(run)
        assert command.wait(120) == 0
    assert len(drills.ledger.windows("small", champion.build)) == 1
    assert len(drills.ledger.requests("small")) <= 1
    record_property("outcome", "all succeed: one window is recorded, once")
