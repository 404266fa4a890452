"""Old logs, and old runs in a real Airflow database."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from evergreen.errors import ServerError
from evergreen.gc.kinds import stat_of
from evergreen.gc.logs import AirflowRuns, Logs, _remove_empty
from evergreen.gc.scene import Scene
from evergreen.local.settings import environment
from evergreen.params.retention import Retention
from evergreen.project import Project

DAY = 86400
ADD_RUNS = """
import datetime, sys
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.types import DagRunType
from sqlalchemy import insert
now = datetime.datetime.now(datetime.UTC)
with create_session() as session:
    for number, (days, state, kind) in enumerate([
        (90, "success", "scheduled"), (80, "failed", "manual"), (70, "running", "scheduled"),
        (60, "success", "scheduled"), (1, "success", "manual"),
    ]):
        moment = now - datetime.timedelta(days=days)
        session.execute(insert(DagRun).values(
            dag_id="small_score", run_id=f"run-{days}", state=state, run_type=kind, start_date=moment,
            run_after=moment, queued_at=moment, logical_date=moment, log_template_id=None, clear_number=0,
        ))
"""


def scene(project: Project, **changes: str) -> Scene:
    return Scene.of(project, Retention.model_validate(changes))


def test_logs_that_nothing_was_written_to_for_long_go(make_project: Callable[..., Project]) -> None:
    project = make_project()
    old = project.home.airflow / "logs" / "dag_id=small_score" / "run_id=x" / "task_id=score" / "attempt=1.log"
    live, quiet = project.home.logs / "scheduler.log", project.home.logs / "supervisord.log"
    for path in (old, live, quiet):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a line")
    for path in (old, quiet):
        os.utime(path, (time.time() - 40 * DAY,) * 2)
    items = Logs().find(scene(project))
    assert [item.id for item in items] == [str(old)]
    assert list(Logs().free(scene(project), items)) == items
    assert not (project.home.airflow / "logs").exists()
    assert live.exists()
    assert quiet.exists(), "supervisord has it open"
    assert Logs().find(scene(project, logs="50 days")) == []


def test_what_disappears_meanwhile_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a line")
    [entry] = os.scandir(tmp_path)
    (tmp_path / "log").unlink()
    assert stat_of(entry) is None
    (tmp_path / "task" / "attempts").mkdir(parents=True)
    _remove_empty(tmp_path / "task" / "attempts" / "gone", tmp_path)
    assert not (tmp_path / "task").exists()


def test_airflow_forgets_old_runs_but_the_last_scheduled_and_those_under_way(
    make_project: Callable[..., Project],
) -> None:
    project = make_project()
    assert AirflowRuns().find(scene(project)) == []
    project.home.airflow.mkdir(parents=True)
    env = environment(project)
    for command in (["-m", "airflow", "db", "migrate"], ["-c", ADD_RUNS]):
        done = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    with pytest.raises(ServerError, match=r"small_score/run-70 began .* is not finished"):
        AirflowRuns().find(scene(project))
    with closing(sqlite3.connect(project.home.airflow / "airflow.db")) as database, database:
        database.execute("update dag_run set state = 'success', run_type = 'scheduled' where run_id = 'run-70'")
        database.execute(
            "update dag_run set start_date = (select start_date from dag_run where run_id = 'run-1')"
            " where run_id = 'run-70'"
        )
    items = AirflowRuns().find(scene(project))
    assert [item.id for item in items] == ["small_score/run-90", "small_score/run-80"]
    assert list(AirflowRuns().free(scene(project), items)) == items
    assert AirflowRuns().find(scene(project)) == []
