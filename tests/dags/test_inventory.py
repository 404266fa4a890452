"""Which DAGs there are, and what every one of them owes to the person on call."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evergreen.project import Project
from tests.conftest import ROOT

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own

TASKS = {
    "flights_ingest": ["table.ingest", "table.validate", "publish", "all_tables_checked"],
    "flights_score": ["score"],
    "flights_monitor": ["monitor", "request_retrain"],
    "flights_retrain": [
        *("begin", "snapshot", "features", "search.plan", "search.trial", "search.choose"),
        *("train", "evaluate", "track", "gate", "ask", "approve", "promote"),
    ],
    "flights_rollback": ["rollback"],
}
ASSETS = {"flights_score": "flights_clean", "flights_retrain": "flights_retrain_request"}
CRONS = {"flights_ingest": "0 * * * *", "flights_monitor": "30 5 * * 1"}


def test_every_dag_is_listed_here_and_parses(dagbag: DagBag) -> None:
    assert dagbag.import_errors == {}
    assert {dag_id: [task.task_id for task in dag.tasks] for dag_id, dag in dagbag.dags.items()} == TASKS


@pytest.mark.parametrize("dag_id", TASKS)
def test_a_dag_tells_who_owns_it_what_it_does_and_by_when(dagbag: DagBag, dag_id: str) -> None:
    dag = dagbag.dags[dag_id]
    for heading in ("**What it does.**", "**When.**", "**When it fails.**"):
        assert heading in dag.doc_md
    assert {"evergreen", "flights"} <= set(dag.tags)
    assert dag.deadline
    assert dag.dagrun_timeout
    assert dag.catchup is False
    assert dag.on_failure_callback


@pytest.mark.parametrize("dag_id", TASKS)
def test_every_task_retries_with_back_off_has_an_owner_and_a_limit(dagbag: DagBag, dag_id: str) -> None:
    for task in dagbag.dags[dag_id].tasks:
        kwargs: dict[str, Any] = getattr(task, "partial_kwargs", None) or vars(task)  # of a mapped task
        assert kwargs["owner"] == "ml-team"
        assert kwargs["retries"] >= 1
        assert kwargs["retry_exponential_backoff"] == 2.0
        assert timedelta(0) < kwargs["execution_timeout"]
        assert kwargs["on_failure_callback"]


@pytest.mark.parametrize("dag_id", TASKS)
def test_every_param_is_typed_and_described(dagbag: DagBag, dag_id: str) -> None:
    params = dagbag.dags[dag_id].params
    assert "as_of" in params
    for name in params:
        schema = params.get_param(name)
        assert schema.schema["type"]
        assert len(schema.description) > 10


def test_schedules_are_those_of_params_yaml_and_the_assets_that_tie_the_dags(dagbag: DagBag) -> None:
    for dag_id, dag in dagbag.dags.items():
        timetable = dag.timetable
        if dag_id in ASSETS:
            assert [asset.name for asset in timetable.asset_condition.objects] == [ASSETS[dag_id]]
            timetable = timetable.timetable
        elif dag_id in CRONS:
            assert timetable.expression == CRONS[dag_id]
        else:
            assert dag_id == "flights_rollback"
            assert not timetable.can_be_scheduled


def test_producers_and_consumers_share_the_asset_objects(dagbag: DagBag) -> None:
    produced = {asset.name for dag in dagbag.dags.values() for task in dag.tasks for asset in task.outlets}
    assert set(ASSETS.values()) <= produced


def test_tables_are_mapped_by_name(dagbag: DagBag) -> None:
    for task_id in ("table.ingest", "table.validate"):
        assert dagbag.dags["flights_ingest"].get_task(task_id).map_index_template == "{{ table }}"


def test_a_search_lies_between_features_and_training_which_goes_on_without_it(dagbag: DagBag) -> None:
    dag = dagbag.dags["flights_retrain"]
    assert dag.get_task("search.trial").map_index_template == "worker {{ worker }}"
    assert dag.get_task("search.plan").upstream_task_ids == {"features"}
    train = dag.get_task("train")
    assert train.upstream_task_ids == {"features", "search.choose"}
    assert train.trigger_rule == "none_failed_min_one_success"
    others = [task for task in dag.tasks if task.task_id not in ("train", "promote")]
    assert {task.trigger_rule for task in others} == {"all_success"}


def test_a_promotion_waits_for_the_answer_and_goes_on_where_nobody_is_asked(dagbag: DagBag) -> None:
    dag = dagbag.dags["flights_retrain"]
    promote = dag.get_task("promote")
    assert promote.upstream_task_ids == {"gate", "approve"}
    assert promote.trigger_rule == "none_failed_min_one_success"
    assert dag.get_task("approve").upstream_task_ids == {"gate", "ask"}
    ask = dag.get_task("ask")
    assert ask.defaults == ["Reject"]
    assert ask.response_timeout == Project.load(ROOT).params.gate.approval_deadline
    assert "comment" in ask.params


@pytest.mark.parametrize(("approval", "expected"), [("automatic", timedelta(0)), ("required", timedelta(days=2))])
def test_a_run_may_take_as_long_as_people_may(approval: str, expected: timedelta) -> None:
    import deployed

    params = Project.load(ROOT).params
    gate = params.gate.model_copy(update={"approval": approval, "approval_deadline": timedelta(days=2)})
    project = Project(ROOT, params.model_copy(update={"gate": gate}), Project.load(ROOT).home)
    hour = timedelta(hours=1)
    asks, other = deployed.policy(project, "retrain", hour, asks=True), deployed.policy(project, "score", hour)
    assert asks["dagrun_timeout"] == 4 * hour + timedelta(days=2)
    assert asks["deadline"].interval == hour + expected
    assert asks["default_args"]["execution_timeout"] == 2 * hour
    assert (other["dagrun_timeout"], other["deadline"].interval) == (4 * hour, hour)


def test_the_ingest_dag_describes_its_tables(dagbag: DagBag) -> None:
    text = dagbag.dags["flights_ingest"].doc_md
    for name, table in Project.load(ROOT).params.tables.items():
        assert table.description
        assert f"\n| {name} | {table.source['kind']} | {table.description} |\n" in text


def test_a_broken_params_yaml_is_an_import_error_that_names_the_line(tmp_path: Any) -> None:
    text = (ROOT / "params.yaml").read_text().replace("time_zone: America/New_York", "time_zoone: America/New_York")
    (tmp_path / "params.yaml").write_text(text)
    code = (
        "import sys; sys.path.insert(0, 'dags')\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "print(next(iter(DagBag('dags').import_errors.values())))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"EVERGREEN_PROJECTS": str(tmp_path), "EVERGREEN_HOME": str(tmp_path)},
    )  # fmt: skip
    assert "time_zoone" in run.stdout
    assert "did you mean `time_zone`" in run.stdout
