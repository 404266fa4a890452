from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from evergreen.clock import naive
from evergreen.errors import ContractError, LakeError, RegistryError
from evergreen.features.engine import connect
from evergreen.features.table import feature_table
from evergreen.lake.known import known_rows
from evergreen.lake.manifests import read_manifests
from evergreen.lake.predictions import prediction_files
from evergreen.project import Project
from evergreen.registry.bundle import load_bundle
from evergreen.stages.ingest import ingest
from evergreen.stages.monitor import monitor
from evergreen.stages.score import score
from evergreen.stages.validate import validate
from evergreen.status import read_status
from evergreen.training.artifacts import predict
from tests.data import day
from tests.stages.served import DAYS, TRAINED, World, open_world, predictions, rows_between

WEEK, HOUR = timedelta(days=7), timedelta(hours=1)
START, END = day(TRAINED), day(TRAINED + 7)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return open_world(tmp_path)


def files(project: Project) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in (project.lake / "predictions").glob("*.*") if path.suffix != ".json"
    }


def test_without_a_champion_nothing_is_scored_and_nothing_fails(world: World) -> None:
    found = score(world.project, END, WEEK)

    assert (found.rows, found.by_build, found.skipped) == (0, {}, 0)
    assert found.unscored == len(rows_between(START, END))
    assert found.reason == "no champion yet: 280 rows lie before the first promotion"
    assert files(world.project) == {}


def test_the_rows_due_are_predicted_with_their_features_and_inputs(world: World) -> None:
    world.promote("one", START)
    found = score(world.project, END, WEEK)
    said = predictions(world.project)
    tables = known_rows(connect(), world.project, day(DAYS))
    expected = feature_table(tables, world.project.params, after=START, until=END).to_pyarrow().to_pandas()
    expected = expected.sort_values("_key", ignore_index=True)
    model = load_bundle(world.project.home, "small", "one").model()

    assert (found.rows, found.by_build, found.skipped, found.unscored) == (280, {"one": 280}, 0, 0)
    assert (found.after, found.as_of, found.reason) == ("2024-02-05T05:00:00Z", "2024-02-12T05:00:00Z", "")
    assert said["_key"].tolist() == sorted(rows_between(START, END)["_key"])
    assert said["p"].tolist() == predict(model, expected).tolist()
    names = world.project.params.features.names()
    pd.testing.assert_frame_equal(said[names], expected[names])
    assert set(said["version"]) == {1}
    assert set(said["_scored_as_of"]) == {pd.Timestamp(END).tz_localize(None)}


def test_serving_goes_on_without_a_refused_file_and_says_so(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.promote("one", START)
    drops = world.project.root / "drops"
    (drops / "jobs-bad.csv").write_text("id,due,team,size\n" + "1,2024-02-05T10:00:00Z,red,-1\n" * 9)
    ingest(world.project, "jobs", END)
    unchecked = score(world.project, END, WEEK)
    assert (unchecked.rows, unchecked.refused) == (280, ["jobs: drops/jobs-bad.csv has not been validated yet"])
    with pytest.raises(ContractError):
        validate(world.project, "jobs")
    found = score(world.project, END, WEEK)
    (text,) = found.refused
    assert text.startswith("jobs: drops/jobs-bad.csv broke its contract: expected at most")
    assert f"predicted without a file of the table {text}" in caplog.text
    assert [line.split(" (")[0] for line in read_status(world.project).tables["jobs"].refused] == [
        "drops/jobs-bad.csv broke its contract: expected at most 5% of the rows in quarantine; 9 of 9 rows"
    ]
    validate(world.project, "jobs", discard="drops/jobs-bad.csv", by="ann")
    table = read_status(world.project).tables["jobs"]
    assert (table.refused, table.quarantined) == ([], 9)
    assert "discarded by ann because expected at most 5%" in table.discarded[0]
    assert score(world.project, END, WEEK).refused == []


def test_a_row_is_predicted_once_however_often_it_runs(world: World) -> None:
    world.promote("one", START)
    for hour in range(0, 49, 12):
        score(world.project, START + timedelta(hours=hour), timedelta(days=2))
    before = files(world.project)
    again = score(world.project, START + timedelta(hours=48), timedelta(days=2))
    said = predictions(world.project)

    assert (again.rows, again.skipped) == (0, 80)
    assert again.reason == "every row of the window had its prediction already"
    assert files(world.project) == before
    assert len(read_manifests(world.project.lake / "predictions")) == len(before) == 4
    assert said["_key"].tolist() == sorted(rows_between(START, START + timedelta(hours=48))["_key"])
    # What was known at a row's moment does not depend on when it is scored.
    shutil.rmtree(world.project.lake / "predictions")
    score(world.project, START + timedelta(hours=48), timedelta(days=2))
    pd.testing.assert_frame_equal(
        predictions(world.project).drop(columns="_scored_as_of"), said.drop(columns="_scored_as_of")
    )


def test_each_row_is_predicted_by_the_champion_of_its_moment(world: World) -> None:
    first, second = START + timedelta(days=2), START + timedelta(days=4)
    world.promote("one", first)
    world.promote("two", second)
    found = score(world.project, END, WEEK)
    said = predictions(world.project)
    tick = timedelta(microseconds=1)

    assert found.unscored == len(rows_between(START, first - tick))
    for build, after, until in (("one", first - tick, second - tick), ("two", second - tick, END)):
        keys = sorted(rows_between(after, until)["_key"])
        assert said.loc[said["build"] == build, "_key"].tolist() == keys
        assert found.by_build[build] == len(keys)
    assert len(read_manifests(world.project.lake / "predictions")) == 1


def test_a_row_that_arrives_after_its_moment_is_scored_then(world: World) -> None:
    world.promote("one", START)
    score(world.project, END, WEEK)
    due = (day(TRAINED + 1) + timedelta(hours=12)).replace(tzinfo=None)
    forgotten = pd.DataFrame({"id": [99_001], "due": [due], "team": ["red"], "size": [1.0]})
    world.bring("jobs", forgotten, END + timedelta(hours=1))
    found = score(world.project, END + timedelta(hours=2), WEEK)

    assert found.rows == 1
    assert predictions(world.project)["_key"].tolist().count("99001") == 1


def test_the_champions_own_params_say_what_it_is_fed(world: World) -> None:
    world.promote("one", START)
    score(world.project, END, WEEK)
    before = predictions(world.project)
    shutil.rmtree(world.project.lake / "predictions")
    changed = world.configure(
        ("row: {team: team, size: size, hour: hour(local(due))}", "row: {team: team, size: size / 1000}"),
        ("at: due - interval 1 hour", "at: due - interval 30 hours"),
    )
    assert changed.params.features.names() == ["team", "size", "team_late_3d"]
    score(changed, END, WEEK)

    pd.testing.assert_frame_equal(predictions(changed), before)


def test_a_table_that_stopped_arriving_is_said_and_scoring_goes_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.promote("one", START)
    project = world.configure(
        ("known_at: due + interval 1 day", "known_at: due + interval 1 day\n    freshness: 1 day")
    )
    assert score(project, END, WEEK).late == {}
    late_as_of = day(DAYS + 3)
    with caplog.at_level(logging.WARNING):
        found = score(project, late_as_of, timedelta(days=4))

    assert found.rows == 40
    assert list(found.late) == ["outcomes"]
    assert "before as_of; allowed: 1 day" in found.late["outcomes"]
    assert "table `outcomes` is late" in caplog.text


def test_an_altered_model_is_never_asked(world: World) -> None:
    world.promote("one", START)
    path = world.project.home.models("small") / "one" / "model.pkl"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(RegistryError, match=r"model\.pkl is missing or not what was stored"):
        score(world.project, END, WEEK)
    assert files(world.project) == {}


def test_a_lost_prediction_file_is_named_not_made_again(world: World) -> None:
    world.promote("one", START)
    score(world.project, END, WEEK)
    lost = world.project.lake / prediction_files(world.project.lake)[0].data.path
    lost.unlink()
    with pytest.raises(LakeError, match=f"{lost.name} is missing"):
        score(world.project, END, WEEK)


def test_two_at_once_double_nothing(world: World) -> None:
    world.promote("one", START)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda hours: score(world.project, END + timedelta(hours=hours), WEEK), (0, 12)))
    said = predictions(world.project)

    assert sum(one.rows for one in found) == len(said)
    assert said["_key"].is_unique
    assert sorted(said["_key"]) == sorted(rows_between(START, END + timedelta(hours=12))["_key"])


RUN = """
import sys
from datetime import datetime, timedelta
from evergreen.project import Project
from evergreen.stages.ingest import ingest
from evergreen.stages.score import score
from evergreen.stages.validate import validate
from evergreen.status import read_status
score(Project.load(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), timedelta(days=7))
"""


def test_killed_before_its_commit_it_ends_with_the_same_bytes(world: World, tmp_path: Path) -> None:
    world.promote("one", START)
    # The other champion's rows make a second file, so that one can be in place without the other.
    world.promote("two", START + timedelta(days=3))
    undisturbed = World(Project.load(shutil.copytree(world.project.root, tmp_path / "undisturbed")))
    score(undisturbed.project, END, WEEK)
    command = [sys.executable, "-c", RUN, str(world.project.root), END.isoformat()]
    killed = subprocess.run(command, env={**os.environ, "EVERGREEN_KILL_AT": "score.placed"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(files(world.project)) == 2
    assert read_manifests(world.project.lake / "predictions") == []
    (world.project.lake / "predictions" / "one-of-another-time.parquet").write_bytes(b"orphan")
    score(world.project, END, WEEK)

    assert files(world.project) == files(undisturbed.project)
    assert len(predictions(world.project)) == 280


def test_an_empty_week_says_so_and_what_is_the_newest_row(world: World) -> None:
    world.promote("one", START)
    found = score(world.project, day(DAYS + 14), WEEK)

    assert (found.rows, found.skipped, found.missed) == (0, 0, 0)
    assert found.reason == (
        "no row of `jobs` has its moment of prediction after 2024-03-11T05:00:00Z and by 2024-03-18T05:00:00Z; "
        "the newest was known at 2024-03-02T02:59:56Z"
    )


def test_rows_known_only_after_their_moment_are_counted_and_never_predicted(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.promote("one", START)
    project = world.configure(("known_at: due - interval 2 days", "known_at: due"))
    found = score(project, END, WEEK)

    assert (found.rows, found.missed) == (0, 280)
    assert found.reason.endswith("and was known by it; 280 were known only after it")
    assert "280 rows of `jobs` were known only after their moment and are not predicted, such as" in caplog.text


@pytest.mark.parametrize("shift", [datetime(2024, 3, 10, tzinfo=UTC), datetime(2024, 11, 3, tzinfo=UTC)])
def test_hour_by_hour_where_the_clocks_change_each_row_is_predicted_once_and_each_day_is_whole(
    world: World, shift: datetime
) -> None:
    """Jobs of every half hour from Friday to Wednesday; their local hour jumps from 1 to 3, or comes twice."""
    world.promote("one", START)
    due = pd.date_range(naive(shift) - timedelta(days=2), periods=5 * 48, freq="30min")
    jobs = pd.DataFrame({"id": range(90_000, 90_240), "due": due, "team": "red", "size": 1.0})
    world.bring("jobs", jobs, shift - timedelta(days=5))
    world.bring("outcomes", jobs[["id", "due", "team"]].assign(late=20.0), shift + timedelta(days=5))
    first, last = shift - timedelta(days=2, hours=2), shift + timedelta(days=3)
    for hour in range(int((last - first) / HOUR) + 1):
        if abs(first + hour * HOUR - shift - 6 * HOUR) < 3 * HOUR or hour % 24 == 0:
            score(world.project, first + hour * HOUR, timedelta(hours=25))
    score(world.project, last, timedelta(hours=25))
    said = predictions(world.project).set_index("_key").loc[jobs["id"].astype(str)]

    assert len(said) == 240
    local = due.tz_localize("UTC").tz_convert("America/New_York")
    assert said["hour"].tolist() == local.hour.tolist()
    found = monitor(world.project, shift + timedelta(days=4, hours=12))
    assert found.record is not None
    known = local + timedelta(days=1) - timedelta(microseconds=1)
    counted = {str(day): int(count) for day, count in pd.Series(known.date).value_counts().items()}
    assert {day: count for day, count in found.record["labels"].items() if day in counted} == counted
    assert (46 if shift.month == 3 else 50) in counted.values()
