"""The small use case on the real local stack: what the scheduler starts by itself, backfills, and pages.

In order, on one stack. The DAGs' cron time is half a day away, so only assets, the REST API and backfills start a run.
A run of a moment before the clock's shows that an event, a Param or an interval's end counts, and not now.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evergreen.clock import format_time, parse_time, set_replay
from evergreen.lake.manifests import read_manifests
from evergreen.lake.predictions import read_predictions
from evergreen.ledger import Ledger, Promotion
from evergreen.local import airflow, stack
from evergreen.local.api import AirflowApi, Run
from evergreen.local.ports import HOST, current_ports
from evergreen.project import Project
from tests.conftest import SMALL
from tests.data import day, write_drops
from tests.faults.harm import until
from tests.local.test_stack import free_ports
from tests.pipeline.conftest import IDENTITY, clone_repository

pytestmark = pytest.mark.stack

DRIFT_RULE = "monitoring: {min_rows: 50, rules: {moved: {kind: drift, share: 0.3}}}"
STAGES = ("ingest", "score", "monitor", "retrain", "rollback")
USERS = "admin:admin,ann:user,bob:viewer"
RUN_SECONDS = 300


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class World:
    """The stack of a clone."""

    project: Project
    api: AirflowApi
    token: str

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self.project.home)

    @property
    def champion(self) -> Promotion:
        found = self.ledger.champion("small")
        assert found is not None
        return found

    def call(self, method: str, path: str, body: Any = None, token: str | bool = True) -> Answer:
        """One request, its path sent as it is written, dots and all; as the admin, as another's token, or nobody."""
        bearer = self.token if token is True else token
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        connection = http.client.HTTPConnection(HOST, current_ports(self.project.home).of("airflow"), timeout=30)
        try:
            connection.request(method, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def log_in(self, user: str) -> str:
        """A token of one of USERS."""
        given = {"username": user, "password": airflow.password(self.project.home, user)}
        token: str = json.loads(self.call("POST", "/auth/token", given, token=False).body)["access_token"]
        return token

    def asked(self, as_of: datetime) -> Run:
        """A retrain run that must be approved, once it waits for an answer and the scheduler knows that it does.

        Who answers before that (on two busy cores that can be seconds) makes Airflow take the end of the pause for a
        task that was killed: it fails the try, and the next one asks again.
        """
        run = self.api.trigger("small_retrain", {"approval": "required"}, as_of=as_of)
        paused = f"state success for task instance TaskInstanceKey(dag_id='{run.dag}', task_id='ask', run_id='{run.id}'"

        def waits() -> bool:
            states = self.states(run)
            if states.get("ask") == "awaiting_input":
                return paused in (self.project.home.logs / "scheduler.log").read_text()
            state = self.api.run(run.dag, run.id).state
            assert state in ("queued", "running"), f"{state}: {states}"
            return False

        until(waits, RUN_SECONDS, f"`ask` of {run} does not ask")
        return run

    def question(self, run: Run) -> Any:
        """What the task `ask` shows."""
        return json.loads(self.call("GET", _hitl(run)).body)

    def answer(self, run: Run, option: str, comment: str, token: str) -> Answer:
        """Answer it as somebody."""
        return self.call("PATCH", _hitl(run), {"chosen_options": [option], "params_input": {"comment": comment}}, token)

    def backfill(self, asked: dict[str, object]) -> None:
        """Ask for one, again while Airflow says that its SQLite is being written to."""
        deadline = time.monotonic() + RUN_SECONDS
        while (answer := self.call("POST", "/api/v2/backfills", asked)).status == 503:
            assert b"Database is locked" in answer.body
            assert time.monotonic() < deadline
        assert answer.status == 200, answer.body

    def xcom(self, run: Run, task: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task left under a key."""
        path = f"/api/v2/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task}/xcomEntries/{key}"
        answer = self.call("GET", f"{path.replace('+', '%2B')}?map_index={map_index}&stringify=false")
        assert answer.status == 200, answer.body
        return json.loads(answer.body)["value"]

    def run(self, stage: str, as_of: datetime | None = None) -> Run:
        """Start a DAG by hand and wait for its success."""
        return self.api.wait(self.api.trigger(f"small_{stage}", as_of=as_of), RUN_SECONDS)

    def started(self, stage: str, kind: str, before: Collection[str] = ()) -> Run:
        """The run that starts by itself and is not among `before`, once it succeeded."""
        run = until(lambda: next(iter(self.of_kind(stage, kind, before)), None), RUN_SECONDS, "no such run was started")
        return self.api.wait(run, RUN_SECONDS)

    def of_kind(self, stage: str, kind: str, but: Collection[str] = ()) -> list[Run]:
        """The DAG's runs of a kind (`asset_triggered`, `backfill`, `manual`, `scheduled`), newest first."""
        runs = self.api.runs(f"small_{stage}")
        return [run for run in runs if run.id.startswith(f"{kind}__") and run.id not in but]

    def states(self, run: Run) -> dict[str, str | None]:
        return {task.id: task.state for task in self.api.tasks(run)}

    def rows(self) -> dict[str, int]:
        """How many rows the lake has, raw and checked, and how many predictions."""
        lake = self.project.lake
        raw = {
            f"raw/{table}": sum(
                file.rows for manifest in read_manifests(lake / "raw" / table) for file in manifest.files
            )
            for table in ("jobs", "outcomes")
        }
        return raw | {"predictions": sum(predicted(self.project).values())}


def _hitl(run: Run) -> str:
    path = f"/api/v2/dags/{run.dag}/dagRuns/{run.id.replace('+', '%2B')}/taskInstances/ask/-1/hitlDetails"
    return path


def predicted(project: Project) -> Counter[tuple[str, str]]:
    """How often each row was predicted by each build."""
    table = read_predictions(project.lake, columns=["_key", "build"])
    return Counter(zip(table["_key"].to_pylist(), table["build"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The stack with scored rows and no champion yet; the clock stands at day 63."""
    root = tmp_path_factory.mktemp("scheduler") / "clone"
    far = (datetime.now(UTC).hour + 12) % 24
    cron = f'"0 {far} * * *"'
    schedule = f"schedule: {{ingest: {cron}, score: {cron}, monitor: {cron}, retrain: null}}\n"
    clone_repository(root, SMALL.replace("gate: {", "gate: {approval_deadline: 3 days, approvers: [ann], ") + schedule)
    write_drops(root / "drops", days=91, until=63)
    with (root / "drops" / "jobs-000.csv").open("a") as drop:
        drop.write("999999,2024-01-02T12:00:00Z,purple,5\n")  # for quarantine
    with pytest.MonkeyPatch.context() as patch:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        given = {"EVERGREEN_PORT": str(free_ports()), "PATH": path, airflow.USERS: USERS}
        given["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "INFO"  # for `asked`; tests/dags leaves another in its process
        for name, value in (IDENTITY | given).items():
            patch.setenv(name, value)
        project = Project.load(root)
        set_replay(project.home, day(63))
        try:
            stack.up(project)
            with AirflowApi(project.home) as api:
                yield ready(project, api)
        finally:
            stack.down(project)


def ready(project: Project, api: AirflowApi) -> World:
    world = World(project, api, "")
    world = replace(world, token=world.log_in(airflow.USER))
    for stage in STAGES:
        api.wait_for_dag(f"small_{stage}")
        api.unpause(f"small_{stage}")
    score_after_ingest(world)
    return world


def test_a_first_build_is_asked_about_and_rejected(world: World) -> None:
    run = world.asked(day(61))
    found = world.question(run)
    decision = world.xcom(run, "gate")["decision"]
    assert found["options"] == ["Approve", "Reject"]
    assert found["subject"] == f"small: promote {world.xcom(run, 'snapshot')}?"
    for text in (
        "## Rules",
        "enough.rows",
        "roc_auc",
        "[Model card](/evergreen/small_retrain/pages/",
        "[MLflow run](http",
    ):
        assert text in found["body"]
    assert list(found["params"]) == ["comment"]
    waits = world.run("retrain", day(62))
    assert set(world.states(waits).values()) == {"skipped"}, "nobody is asked two things at a time"

    for user in ("bob", airflow.USER):  # a viewer, and one who is not among gate.approvers
        assert world.answer(run, "Approve", "let me", world.log_in(user)).status == 403
    assert world.answer(run, "Reject", "not before spring", world.log_in("ann")).status == 200
    assert world.answer(run, "Approve", "I disagree", world.token).status == 409
    world.api.wait(run, RUN_SECONDS)
    assert world.states(run)["promote"] == "skipped"
    stands = world.ledger.decision(f"approval-{decision}")
    assert (stands.verdict, stands.actor, stands.reason) == ("reject", "ann", "not before spring")
    assert world.ledger.champion("small") is None


def test_without_an_answer_by_the_deadline_nothing_is_promoted(world: World) -> None:
    edit(world, "approval_deadline: 3 days", "approval_deadline: 60 seconds")
    run = world.api.wait(world.asked(day(62)), RUN_SECONDS)
    assert world.states(run)["promote"] == "skipped"
    stands = world.ledger.decision(f"approval-{world.xcom(run, 'gate')['decision']}")
    assert (stands.verdict, stands.actor) == ("reject", "deadline")
    assert world.answer(run, "Approve", "sorry, late", world.token).status == 409
    assert world.ledger.decision(stands.id) == stands
    assert world.ledger.champion("small") is None


def test_an_approved_build_becomes_the_first_champion(world: World) -> None:
    edit(world, "approval_deadline: 60 seconds", "approval_deadline: 3 days")
    run = world.asked(day(63))
    assert world.answer(run, "Approve", "looks right", world.log_in("ann")).status == 200
    world.api.wait(run, RUN_SECONDS)
    assert world.states(run)["promote"] == "success"
    assert world.champion.as_of == day(63)
    stands = world.ledger.decision(f"approval-{world.champion.decision}")
    assert (stands.verdict, stands.actor, stands.reason) == ("promote", "ann", "looks right")


def edit(world: World, old: str, new: str) -> None:
    """Edit params.yaml and commit it."""
    params = world.project.root / "params.yaml"
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, new))
    subprocess.run(["git", "commit", "-qam", new], cwd=world.project.root, check=True)


def test_1_clean_rows_start_scoring_at_the_moment_of_their_ingest(world: World) -> None:
    before = {run.id for run in world.of_kind("score", "asset_triggered")}
    write_drops(world.project.root / "drops", days=91, until=70)
    set_replay(world.project.home, day(72))
    assert world.states(world.run("ingest", day(70)))["publish"] == "success"
    scored = world.xcom(world.started("score", "asset_triggered", before), "score")
    assert scored["as_of"] == format_time(day(70))
    assert scored["rows"] > 200
    assert list(scored["by_build"]) == [world.champion.build]


def test_2_backfills_stand_at_their_intervals_and_double_nothing(world: World) -> None:
    set_replay(world.project.home, day(70))
    before, scored = world.rows(), len(world.of_kind("score", "asset_triggered"))
    assert min(before.values()) > 0
    asked = {"ingest": 3, "score": 3, "monitor": 1}
    for stage, days in asked.items():
        span = {"from_date": format_time(day(68 - days)), "to_date": format_time(day(68))}
        world.backfill({"dag_id": f"small_{stage}", "max_active_runs": 1} | span)
    for stage, days in asked.items():
        runs = [world.api.wait(run, RUN_SECONDS) for run in world.of_kind(stage, "backfill")]
        latest = world.started(stage, "scheduled")  # Airflow goes on from a backfill to the latest interval
        ends = [parse_time(run.id.partition("__")[2]) for run in runs]
        assert len(ends) == days
        assert all(day(65) <= end <= day(68) for end in ends)
        if stage != "ingest":
            assert [parse_time(world.xcom(run, stage)["as_of"]) for run in runs] == ends
            assert parse_time(world.xcom(latest, stage)["as_of"]) == day(70)
    assert world.rows() == before
    assert max(predicted(world.project).values()) == 1
    assert len(world.of_kind("score", "asset_triggered")) == scored


def test_3_drift_is_shown_and_by_default_triggers_nothing(world: World) -> None:
    write_drops(world.project.root / "drops", days=91, until=77, shift_from=70)
    set_replay(world.project.home, day(77))
    score_after_ingest(world)
    run = world.run("monitor")
    record = world.xcom(run, "monitor")["record"]
    assert record["drift"]["columns"]["size"] is True
    assert record["drift"]["share"] > 0.3
    assert world.states(run) == {"monitor": "success", "request_retrain": "skipped"}
    assert world.of_kind("retrain", "asset_triggered") == []


def test_4_where_a_rule_asks_for_it_drift_starts_a_retrain_that_answers(world: World) -> None:
    edit(world, "monitoring: {min_rows: 50}", DRIFT_RULE)
    write_drops(world.project.root / "drops", days=91, until=84, shift_from=70)
    set_replay(world.project.home, day(84))
    score_after_ingest(world)
    set_replay(world.project.home, day(85))
    asked = day(84) - timedelta(hours=1)  # local midnight, where a window ends: New York has put its clocks forward
    run = world.run("monitor", asked)
    assert world.xcom(run, "monitor")["alarms"] == ["moved"]
    assert world.states(run)["request_retrain"] == "success"

    retrain = world.started("retrain", "asset_triggered")
    assert parse_time(world.xcom(retrain, "begin")["as_of"]) == asked
    (request,) = world.ledger.requests("small")
    decision = world.ledger.decision(world.xcom(retrain, "gate")["decision"])
    assert request.answered_by == decision.id
    assert decision.as_of == request.as_of == asked
    assert retrain.id in decision.actor


def score_after_ingest(world: World) -> None:
    """Ingest at the clock's moment, and wait for the scoring that this starts."""
    before = {run.id for run in world.of_kind("score", "asset_triggered")}
    world.run("ingest")
    world.started("score", "asset_triggered", before)


def test_5_pages_are_shown_to_who_is_logged_in_and_nothing_else_is(world: World) -> None:
    monitored, ingested = world.of_kind("monitor", "manual")[0], world.of_kind("ingest", "manual")[-1]
    drift = world.xcom(monitored, "monitor", "link_drift_report")
    checked = world.xcom(ingested, "table.validate", "link_validation_result", map_index=0)
    for url in (drift, checked):
        assert world.call("GET", url, token=False).status == 401
        page = world.call("GET", url)
        assert page.status == 200
        assert page.body == (world.project.home.root / url.partition("/pages/")[2]).read_bytes()
        policy = page.headers["content-security-policy"]
        assert policy.startswith("sandbox ")
        assert "allow-same-origin" not in policy
    assert b"purple" in page.body

    reports = world.project.home.reports("small")
    (reports / "note.txt").write_text("not a page")
    assert world.project.home.clock.is_file()
    pages = "/evergreen/small_monitor/pages"
    outside = [f"{pages}/reports/small/{up}clock.json" for up in ("../../", "%2e%2e/%2e%2e/", "..%2f..%2f")]
    report = drift.partition("/pages/")[2]
    elsewhere = [f"/evergreen/{dag}/pages/{report}" for dag in ("etl", "small", "_monitor", "other_monitor")]
    for url in (*outside, f"{pages}/clock.json", f"{pages}/reports/small/note.txt", *elsewhere):
        answer = world.call("GET", url)
        assert answer.status in (403, 404), url
        assert world.project.home.clock.read_bytes() not in answer.body


def test_6_a_rollback_swaps_champion_and_previous_and_scoring_follows(world: World) -> None:
    lenient = "mode: non_inferiority, margin: 5, calibration: null, refit: null, every: 1 day"
    edit(world, "gate: {", f"gate: {{{lenient}, ")  # whoever comes next is champion, if the drift's retrain made none
    set_replay(world.project.home, day(86))
    world.api.wait(world.api.trigger("small_retrain", {"force": True}), RUN_SECONDS)
    newest, before = world.ledger.promotions("small")[:2]
    assert newest.build != before.build

    started = "/api/v2/dags/small_rollback/dagRuns"
    form = {"logical_date": None, "conf": {"reason": "worse by night"}}
    assert world.call("POST", started, form, world.log_in("bob")).status == 403
    assert world.call("POST", started, {"logical_date": None, "conf": {}}, world.log_in("ann")).status == 400
    asked = world.call("POST", started, form, world.log_in("ann"))
    assert asked.status == 200, asked.body
    run = world.api.wait(Run("small_rollback", json.loads(asked.body)["dag_run_id"], "queued"), RUN_SECONDS)
    assert world.states(run) == {"rollback": "success"}
    assert (world.champion.build, world.champion.previous_build) == (before.build, newest.build)
    decision = world.ledger.decision(world.champion.decision)
    assert decision.reason == "worse by night"
    assert decision.actor.startswith("ann (small_rollback ")

    write_drops(world.project.root / "drops", days=91, until=88, shift_from=70)
    set_replay(world.project.home, day(88))
    score_after_ingest(world)
    scored = world.xcom(world.of_kind("score", "asset_triggered")[0], "score")
    assert scored["by_build"][before.build] > 0
