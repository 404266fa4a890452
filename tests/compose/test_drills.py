"""What may happen to a server and its parts while the loop runs: nothing is lost, nothing is doubled, it ends in time.

Each drill has a moment of its own, so that each trains: a build of the same rows would come from the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from evergreen.local.api import Run
from tests.compose.conftest import move
from tests.compose.server import LATE, Server, weeks

Record = Callable[[str, object], None]
OUTAGE = 25.0


@pytest.fixture
def moment(server: Server) -> Iterator[datetime]:
    """A moment of its own; whatever a drill that failed has left is over before the next."""
    yield server.moment()
    server.healthy()
    server.quiet()


def told(
    record: Record, server: Server, run: Run, done: str, outcome: str = "", undisturbed: float | None = None
) -> None:
    """Record the drill, and require that it ended in time; without `undisturbed`, by that of a retrain."""
    seconds, usual = server.seconds(run), undisturbed or server.undisturbed
    for key, value in (("drill", done), ("outcome", outcome), ("undisturbed", usual), ("disturbed", seconds)):
        record(key, value)
    assert seconds < usual + LATE


def retrain(server: Server, moment: datetime) -> Run:
    """A retrain that has to train."""
    return server.trigger("retrain", moment, force=True)


def test_a_worker_is_lost_in_the_middle_of_train(server: Server, moment: datetime, record_property: Record) -> None:
    server.arm("train.model")
    run = retrain(server, moment)
    server.reached("train.model")
    _, lost = server.tries(run)["train"]
    (container,) = [one for one in server.containers("worker") if one.startswith(lost)]
    server.kill(container)
    try:
        server.ended(run)
    finally:
        server.engine("start", container)
    number, host = server.tries(run)["train"]
    assert (number, host != lost) == (2, True)
    server.require_one_of_each(moment)
    outcome = "retried on the other worker; one run, same bytes"
    told(record_property, server, run, "a worker's machine is gone while it trains", outcome)


@pytest.mark.parametrize("service", ["scheduler", "postgres", "redis", "mlflow"])
def test_a_part_crashes_in_the_middle_of_a_run(
    server: Server, moment: datetime, record_property: Record, service: str
) -> None:
    run = retrain(server, moment)
    server.wait_for(run, "train", "running")
    server.crash(service)
    server.ended(run)
    server.require_one_of_each(moment)
    told(record_property, server, run, f"{service} crashes in the middle of a run", "one build, same bytes")


def test_kafka_crashes_in_the_middle_of_an_ingest(server: Server, record_property: Record) -> None:
    move(server, 6)
    undisturbed = server.run("ingest", weeks(6))
    move(server, 7)
    server.arm("kafka.batch")  # whoever comes to `ingest.written` first may have read something else
    run = server.trigger("ingest", weeks(7))
    server.reached("kafka.batch")
    server.crash("kafka")
    go_on(server)
    server.ended(run)
    lost, doubled = counted(server, 7)
    assert (lost, doubled) == (0, 0)
    outcome = "0 rows lost, 0 doubled"
    told(record_property, server, run, "Kafka crashes in the middle of an ingest", outcome, undisturbed)


@pytest.mark.parametrize("service", ["redis", "postgres", "api-server"])
def test_a_part_is_away_for_25_seconds(server: Server, moment: datetime, record_property: Record, service: str) -> None:
    server.arm("train.model")
    run = retrain(server, moment)
    server.reached("train.model")
    with server.away(service):
        go_on(server)  # so that a task ends, and nobody can be told
        time.sleep(OUTAGE)  # that is the drill
    server.healthy()
    server.ended(run)
    server.require_one_of_each(moment)
    twice = sorted(task for task, (number, _) in server.tries(run).items() if number > 1)
    outcome = f"tried again: {', '.join(twice) or 'none'}; same bytes"
    told(record_property, server, run, f"{service} is away for 25 s", outcome)


def test_the_lake_volume_is_full(server: Server, moment: datetime, record_property: Record) -> None:
    before = known(server)
    server.inside("scheduler", "sh", "-c", "dd if=/dev/zero of=/evergreen/filler bs=1M 2>/dev/null || true")
    run = retrain(server, moment)
    try:
        server.wait_for(run, "snapshot", "up_for_retry", "failed")
    finally:
        server.inside("scheduler", "rm", "-f", "/evergreen/filler")
    server.ended(run)
    assert known(server) == before
    server.require_one_of_each(moment)
    told(
        record_property,
        server,
        run,
        "the volume is full, and has room again",
        "retried when there was room; nothing lost",
    )


def test_all_is_killed_and_started_again(server: Server, moment: datetime, record_property: Record) -> None:
    run = retrain(server, moment)
    server.wait_for(run, "train", "running")
    running = server.compose("ps", "--quiet").split()
    server.kill(*running)
    server.up()
    server.ended(run)
    server.require_one_of_each(moment)
    told(
        record_property, server, run, "everything is killed and started again", "the run went on; one build, same bytes"
    )


def test_at_the_end_nothing_is_lost_or_doubled(server: Server) -> None:
    assert counted(server, 7) == (0, 0)
    server.inside("scheduler", "evergreen", "decisions", "replay")  # fails where a verdict differs


def go_on(server: Server) -> None:
    """Let whatever stands at a point go on."""
    for container in server.containers("worker"):
        server.engine("exec", container, "sh", "-c", "kill -CONT -1")


def known(server: Server) -> Any:
    """How many rows of each table are known."""
    return server.python(KNOWN)


def counted(server: Server, week: int) -> tuple[int, int]:
    """Rows lost and doubled, over all tables, against the shipped data."""
    lost, doubled = server.python(COUNTED.format(moment=weeks(week).isoformat()))
    return lost, doubled


KNOWN = """
from evergreen import clock
from evergreen.features.engine import connect
from evergreen.lake.known import known_rows
from evergreen.project import Project
project = Project.load()
found = known_rows(connect(), project, clock.now(project.home))
print(json.dumps({name: int(table.count().execute()) for name, table in found.items()}))
"""
COUNTED = """
from evergreen import clock
from evergreen.project import Project
from report import counts
found = counts(Project.load(), clock.parse_time('{moment}'))
print(json.dumps([sum(one.lost for one in found), sum(one.doubled for one in found)]))
"""
