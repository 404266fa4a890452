"""Which use cases this Airflow runs, and what all their DAGs share.

`EVERGREEN_PROJECTS` lists project folders (each holds a params.yaml), joined by the path separator; by default the
one that this repository is. A broken params.yaml shows up as that DAG file's import error.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from airflow.sdk import (
    Asset,
    Connection,
    Context,
    CronTriggerTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    SyncCallback,
    get_current_context,
)
from airflow.sdk.exceptions import AirflowNotFoundException

from alerts import FailureNotifier, deadline_missed
from evergreen import clock
from evergreen.project import Project
from evergreen.sources import connections

log = logging.getLogger("evergreen.deployed")

AS_OF = Param(
    None,
    type=["null", "string"],
    format="date-time",
    title="As of",
    description="The moment this run stands at (UTC): what was known by then, and nothing after. Empty: the end of "
    "the run's interval, else now.",
)


@cache
def projects() -> tuple[Project, ...]:
    """The deployed use cases; read once a parse."""
    repository = Path(__file__).parents[1]
    folders = os.environ.get("EVERGREEN_PROJECTS") or str(repository)
    return tuple(Project.load(folder) for folder in folders.split(os.pathsep))


def project(name: str) -> Project:
    """The deployed use case of that name, read again by each task."""
    return next(project for project in projects() if project.name == name)


def policy(project: Project, stage: str, deadline: timedelta, asks: bool = False) -> dict[str, Any]:
    """What every DAG of a use case is given: id, owner, retries, deadline, failure notice, tags.

    A DAG that `asks` for approvals may take as long as people may: each of its runs, since a run can choose to ask;
    late is one only that takes longer than params.yaml lets people expect.
    """
    gate = project.params.gate
    wait = gate.approval_deadline if asks else timedelta(0)
    expected = wait if gate.approval == "required" else timedelta(0)
    return {
        "dag_id": f"{project.name}_{stage}",
        "catchup": False,
        "tags": ["evergreen", project.name, stage],
        "dagrun_timeout": 4 * deadline + wait,
        "deadline": DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=deadline + expected,
            callback=SyncCallback(deadline_missed, kwargs={"dag_id": f"{project.name}_{stage}"}),
        ),
        "default_args": {
            "owner": project.params.owner,
            "retries": 2,
            "retry_delay": timedelta(seconds=10),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=5),
            "execution_timeout": 2 * deadline,
            "on_execute_callback": tell_of_the_last_try,
            "on_failure_callback": FailureNotifier(),
        },
        "on_failure_callback": FailureNotifier(),
    }


def tell_of_the_last_try(context: Context) -> None:
    """Say in the log of a further try what it means that the log of the one before just ends."""
    number = context["ti"].try_number
    if number > 1:
        log.warning(
            "this is try %d. Where the log of try %d ends without an error, the task was killed: with its worker or "
            "scheduler (on a laptop logs/supervisord.log says when that was started again), by a person, or because "
            "memory ran out",
            number,
            number - 1,
        )


def cron(expression: str | None) -> CronTriggerTimetable | None:
    """A cron schedule in UTC, or none."""
    return CronTriggerTimetable(expression, timezone="UTC") if expression else None


def as_of(name: str) -> datetime:
    """The running task's moment: the Param, else what an asset event says, else the interval's end, else now."""
    context = get_current_context()
    given = context["params"].get("as_of")
    events = [event for found in (context.get("triggering_asset_events") or {}).values() for event in found]
    told = [event.extra["as_of"] for event in events if event.extra.get("as_of")]
    interval_end = context["dag_run"].data_interval_end
    home = project(name).home
    return clock.resolve_as_of(home, given or max(told, default=None), interval_end)


def hand_over(name: str, table: str) -> None:
    """Give the library the connections that a table's source names, as this Airflow has them.

    By this process's environment alone: never by XCom. A variable that is set already wins. One that Airflow does not
    know may be in the home; where it is not, the library says what to do.
    """
    for connection in connections.wanted(project(name).params.tables[table].source):
        if connections.variable(connection) not in os.environ:
            with suppress(AirflowNotFoundException):
                os.environ[connections.variable(connection)] = Connection.get(connection).as_json()


def actor(name: str, stage: str) -> str:
    """Who is behind the running task: the person who started the run, if one did, and the run."""
    run = get_current_context()["dag_run"]
    told = f"{name}_{stage} {run.run_id}"
    return f"{run.triggering_user_name} ({told})" if run.triggering_user_name else told


def link(key: str, url: str | None) -> None:
    """Offer a link from the running task; plugins/evergreen_plugin.py shows it under this key."""
    if url:
        get_current_context()["ti"].xcom_push(key=f"link_{key}", value=url)


def ring(asset: Asset, **extra: Any) -> None:
    """Say something with the asset event that the running task will emit when it succeeds."""
    get_current_context()["outlet_events"][asset].extra = extra
