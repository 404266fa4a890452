"""The whole loop on the small use case, through the real DAGs and the real command line, in order."""

from __future__ import annotations

import sys
from pathlib import Path

import mlflow
import yaml

from evergreen.clock import floor_day, format_time
from evergreen.ledger import Ledger
from tests.data import day, small_tables, write_drops
from tests.pipeline.conftest import Loop
from tests.pipeline.run_dag import SKIPPED

FIRST = format_time(day(63))


def outputs(lock: str) -> dict[str, str]:
    """Path to hash of every output in a dvc.lock."""
    stages = yaml.safe_load(lock)["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def tagged_lock(loop: Loop) -> tuple[str, str]:
    """The one build tag, and its dvc.lock."""
    tags = loop.run("git", "tag", "--list", "build/*").stdout.split()
    assert len(tags) == 1
    return tags[0], loop.run("git", "show", f"{tags[0]}:dvc.lock").stdout


def test_1_ingest_brings_and_checks_every_row(loop: Loop) -> None:
    run = loop.dag("ingest", as_of=FIRST)
    assert run["state"] == "success"
    assert run["tasks"]["publish[-1]"] == "success"
    again = loop.dag("ingest", as_of=FIRST)
    assert again["state"] == "success"
    assert again["tasks"]["publish[-1]"] == "skipped"


def test_2_the_retrain_dag_promotes_a_first_champion(loop: Loop) -> None:
    run = loop.dag("retrain", as_of=FIRST)
    assert {task for task, state in run["tasks"].items() if state != "success"} == SKIPPED
    champion = Ledger.open(loop.project.home).champion("small")
    assert champion is not None
    client = mlflow.MlflowClient(loop.env["MLFLOW_TRACKING_URI"])
    assert int(client.get_model_version_by_alias("small", "champion").version) == champion.version
    experiment = client.get_experiment_by_name("small")
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_3_dvc_repro_on_the_same_snapshot_gives_the_same_hashes(loop: Loop) -> None:
    _, lock = tagged_lock(loop)
    loop.evergreen("snapshot", "--as-of", FIRST)
    loop.run(sys.executable, "-m", "dvc", "add", "-q", "data")
    loop.run(sys.executable, "-m", "dvc", "repro", "--force")
    assert outputs((loop.root / "dvc.lock").read_text()) == outputs(lock)


def test_4_a_fresh_clone_reproduces_the_build_without_lake_and_cache(loop: Loop, tmp_path: Path) -> None:
    tag, lock = tagged_lock(loop)
    fresh = tmp_path / "fresh"
    assert loop.reproduced(tag, fresh) == lock
    assert loop.run("git", "status", "--porcelain", cwd=fresh).stdout == ""


def test_5_a_retrain_without_new_labels_ends_at_once_and_says_why(loop: Loop) -> None:
    run = loop.dag("retrain", as_of=FIRST)
    assert run["state"] == "success"
    assert set(run["tasks"].values()) == {"skipped"}
    assert len(Ledger.open(loop.project.home).decisions("small")) == 1


def test_6_a_week_is_scored_and_monitored(loop: Loop) -> None:
    write_drops(loop.root / "drops", days=91, until=70)
    end = format_time(day(70))
    assert loop.dag("ingest", as_of=end)["state"] == "success"
    for _ in range(2):
        assert loop.dag("score", as_of=end)["state"] == "success"
    run = loop.dag("monitor", as_of=end)
    assert run["tasks"] == {"monitor[-1]": "success", "request_retrain[-1]": "skipped"}
    window = Ledger.open(loop.project.home).windows("small", Ledger.open(loop.project.home).champion("small").build)
    assert [one.end for one in window] == [floor_day(day(70), loop.project.params.zone)]
    jobs = small_tables(91)["jobs"]
    due = jobs["due"].between(day(62).replace(tzinfo=None), day(70).replace(tzinfo=None))
    assert 0 < window[0].record["rows"] <= due.sum()


def test_7_a_shift_alarms_and_its_request_is_answered_by_a_retrain(loop: Loop) -> None:
    write_drops(loop.root / "drops", days=91, until=84, drift_from=70)
    for number in (77, 84):
        loop.dag("ingest", as_of=format_time(day(number)))
        loop.dag("score", as_of=format_time(day(number)))
    run = loop.dag("monitor", as_of=format_time(day(84)))
    assert run["tasks"]["request_retrain[-1]"] == "success"
    assert len(Ledger.open(loop.project.home).open_requests("small")) == 1
    assert loop.dag("retrain", as_of=format_time(day(84)))["state"] == "success"
    assert Ledger.open(loop.project.home).open_requests("small") == []


def test_8_every_verdict_replays_and_the_status_tells_it_all(loop: Loop) -> None:
    replayed = loop.evergreen("decisions", "replay").stdout
    assert "2 of 2 verdicts are the same" in replayed
    status = loop.evergreen("status").stdout
    for part in ("jobs", "outcomes", "Champion", "version", "Decisions"):
        assert part in status
