from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from evergreen.errors import ParamsError, RegistryError
from evergreen.ledger import Decision, Window
from evergreen.monitoring.records import Record
from evergreen.monitoring.window import performance_of, says_alike
from evergreen.project import Project
from evergreen.stages.monitor import monitor
from evergreen.stages.score import score
from evergreen.stages.validate import FilesRefused
from tests.data import day
from tests.stages.served import DAYS, SHIFT, TRAINED, World, open_scored_world, open_world, predictions, rows_between

WEEK = timedelta(days=7)
MONITORING = "monitoring: {min_rows: 50}"
FIRST, QUIET, BAD, WORSE = (day(TRAINED + 7 * week) for week in (1, 2, 3, 4))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """`one` is champion since the training cut-off, and everything is scored."""
    return open_scored_world(tmp_path)


def by_hand(project: Project, end: datetime, build: str = "one") -> pd.DataFrame:
    """The window's rows of `build`, joined in pandas from the drops."""
    rows = rows_between(day(0), end)
    known = (rows["_known"] > (end - WEEK).replace(tzinfo=None)) & (rows["_known"] <= end.replace(tzinfo=None))
    rows = rows[known & rows["late"].notna()].assign(label=lambda frame: (frame["late"] > 10).astype(float))
    said = predictions(project)
    return rows.merge(said.loc[said["build"] == build, ["_key", "p"]], on="_key")


def answer(world: World, request: str, on: datetime) -> None:
    """Let a gate answer the request, without promoting."""
    decision = Decision(
        id=f"answer-{on:%Y%m%d}", name="small", kind="gate", build="x", as_of=on, verdict="reject", reason="", actor="t"
    )
    world.ledger.record_decision(decision)
    world.ledger.answer_requests("small", [request], decision.id)


def test_without_a_champion_there_is_nothing_to_monitor(tmp_path: Path) -> None:
    found = monitor(open_world(tmp_path).project, FIRST)

    assert found.state == "no champion"
    assert found.text == "no champion at 2024-02-12T05:00:00Z: nothing to monitor"
    assert (found.record, found.request, found.new_request) == (None, None, False)


def test_a_quiet_week_is_measured_as_by_hand(world: World) -> None:
    found = monitor(world.project, QUIET)
    rows, record = by_hand(world.project, QUIET), found.record
    assert record is not None
    label, p = rows["label"].to_numpy(), rows["p"].to_numpy()
    rate = label.mean()

    assert (found.state, found.alarms, found.request, found.new_request) == ("quiet", [], None, False)
    assert found.text == f"quiet: no rule alarms on {len(rows)} rows"
    assert (record["rows"], record["positives"]) == (len(rows), label.sum()) == (266, 79)
    assert record["bias"] == pytest.approx(p.mean() - rate)
    assert record["log_loss"] == pytest.approx(log_loss(label, p))
    assert record["skill"] == pytest.approx(1 - log_loss(label, p) / log_loss(label, np.full(len(label), rate)))
    assert record["brier"] == pytest.approx(brier_score_loss(label, p))
    assert record["roc_auc"] == pytest.approx(roc_auc_score(label, p))
    assert (record["first_day"], record["last_day"], record["complete_days"]) == ("2024-02-12", "2024-02-18", 7)
    assert (record["unpredicted"], record["unlabelled"], record["predecessors"]) == (0, 14, {})
    assert set(record["drift"]["columns"]) == {"team", "size", "hour", "team_late_3d"}
    assert record["drift"]["rows"] == {"current": 266, "reference": 1292}
    assert [rule["name"] for rule in found.rules] == ["bias", "skill", "ewma"]
    sd, windows = record["reference"]["sd"], record["reference"]["windows"]
    t = stats.t.ppf(stats.norm.cdf(3), windows - 1)
    assert found.rules[0]["limit"] == pytest.approx(t * sd * (1 + 1 / windows) ** 0.5)
    reports = world.project.home.reports("small")
    assert found.summary == "20240219T050000-one/monitor.html"
    assert "quiet: no rule alarms" in (reports / found.summary).read_text()
    assert found.drift_report is not None
    assert (reports / found.drift_report).stat().st_size > 1_000_000
    assert json.loads(json.dumps(found.model_dump(mode="json"))) == found.model_dump(mode="json")


def test_an_alarm_asks_once_and_not_again_while_its_request_is_open(world: World) -> None:
    bad = monitor(world.project, BAD)
    stored = world.ledger.open_requests("small")

    assert bad.state == "alarm"
    assert "bias" in bad.alarms
    assert (bad.request, bad.new_request) == ("monitor-small-one-2024-02-26", True)
    assert bad.text.endswith("Retrain requested: monitor-small-one-2024-02-26")
    assert [(one.id, one.build, one.as_of, one.raised_by) for one in stored] == [(bad.request, "one", BAD, "monitor")]
    assert stored[0].evidence == {"record": bad.record, "report": bad.summary}
    assert "bias: |mean p - rate|" in stored[0].reason

    again = monitor(world.project, BAD)
    assert again.model_dump(exclude={"new_request", "text"}) == bad.model_dump(exclude={"new_request", "text"})
    assert not again.new_request

    worse = monitor(world.project, WORSE)
    assert worse.state == "alarm"
    assert (worse.request, worse.new_request) == (bad.request, False)
    assert worse.text.endswith(f"No new request: {bad.request} about this champion is open")
    assert worse.open_requests == [bad.request]


def test_an_answered_alarm_asks_again_the_week_after_only(world: World) -> None:
    bad = monitor(world.project, BAD)
    assert bad.request is not None
    answer(world, bad.request, BAD + timedelta(hours=3))
    again = monitor(world.project, BAD)
    worse = monitor(world.project, WORSE)

    assert (again.request, again.new_request, again.alarms) == (None, False, bad.alarms)
    assert again.text.endswith("Asked and answered before")
    assert (worse.request, worse.new_request) == ("monitor-small-one-2024-03-04", True)

    again = monitor(world.project, BAD)
    assert (again.request, again.new_request) == (None, False), "the open request is of a later week"


def test_a_window_that_waited_for_another_request_asks_nothing_when_it_is_run_once_more(world: World) -> None:
    bad, worse = monitor(world.project, BAD), monitor(world.project, WORSE)
    assert bad.request == worse.request is not None
    answer(world, str(bad.request), WORSE)
    again = monitor(world.project, WORSE)

    assert again.alarms == worse.alarms != []
    assert (again.request, again.new_request) == (None, False)
    assert world.ledger.open_requests("small") == []


def test_the_ewma_runs_over_the_weeks_since_the_promotion(world: World) -> None:
    project = world.configure((MONITORING, "monitoring: {min_rows: 50, min_days: 6}"))  # the first week has six
    values, biases = [], []
    for end in (FIRST, QUIET, BAD):
        found = monitor(project, end)
        assert found.record is not None
        biases.append(found.record["bias"])
        values.append(next(rule["value"] for rule in found.rules if rule["name"] == "ewma"))
    expected, ewma = [], 0.0
    for bias in biases:
        ewma = 0.4 * bias + 0.6 * ewma
        expected.append(abs(ewma))

    assert values == pytest.approx(expected)
    page = (world.project.home.reports("small") / "20240226T050000-one" / "monitor.html").read_text()
    assert page.count("<rect") == 3

    world.promote("two", BAD)
    fresh = monitor(world.project, WORSE)
    assert fresh.build == "two"
    assert fresh.state == "immature", "all rows of the week were scored by the champion before"


def test_what_a_predecessor_said_of_other_classes_is_not_measured(tmp_path: Path) -> None:
    project = open_world(tmp_path).project
    prediction = project.params.prediction
    label = prediction.label.model_copy(update={"kind": "multiclass", "classes": ("small", "large")})
    params = project.params.model_copy(update={"prediction": prediction.model_copy(update={"label": label})})
    served = replace(project, params=params)
    for build in ("one", "never stored"):
        assert not says_alike(served, build, label)
    assert says_alike(project, "one", prediction.label)
    rows = pd.DataFrame({"_label": [0.0, 1.0], "p": [[0.2, 0.8], [0.3, 0.7]]})
    assert performance_of(rows, label, alike=True).log_loss is not None
    assert performance_of(rows, label, alike=False).log_loss is None


def test_predecessors_are_reported_apart(tmp_path: Path) -> None:
    world, change = open_world(tmp_path), day(TRAINED + 10)
    world.promote("one", day(TRAINED))
    world.promote("two", change)
    score(world.project, QUIET, timedelta(days=14))
    record = monitor(world.project, QUIET).record
    assert record is not None
    own, other = (by_hand(world.project, QUIET, build) for build in ("two", "one"))

    assert record["build"] == "two"
    assert record["rows"] == len(own)
    assert list(record["predecessors"]) == ["one"]
    assert record["predecessors"]["one"]["rows"] == len(other)
    assert record["predecessors"]["one"]["bias"] == pytest.approx(other["p"].mean() - other["label"].mean())
    assert len(own) + len(other) == 266


def test_too_few_labels_are_immature_and_no_rule_is_asked(world: World) -> None:
    project = world.configure((MONITORING, "monitoring: {min_rows: 267}"))
    found = monitor(project, BAD)

    assert found.state == "immature"
    assert (found.rules, found.alarms, found.new_request) == ([], [], False)
    assert found.text == (
        "immature: 266 labelled predictions on 7 whole days are too few (of 267 on 7), so no rule was asked"
    )


def test_a_week_with_labels_on_six_days_is_immature_unless_six_are_enough(world: World) -> None:
    first = monitor(world.project, FIRST)
    assert first.record is not None
    assert (first.state, first.rules, first.record["mature"]) == ("immature", [], False)
    assert first.record["rows"] > 50, "it is recorded all the same"
    assert (first.record["complete_days"], first.record["min_days"]) == (6, 7)
    assert "6 whole days are too few (of 50 on 7)" in first.text
    assert first.summary is not None
    assert "immature" in (world.project.home.reports("small") / first.summary).read_text()


def test_min_days_says_how_many_days_are_enough(world: World) -> None:
    found = monitor(world.configure((MONITORING, "monitoring: {min_rows: 50, min_days: 6}")), FIRST)

    assert found.state == "quiet"
    assert len(found.rules) == 3


@pytest.mark.parametrize("hours", [0.5, 23.9])
def test_a_run_later_in_the_local_day_is_about_the_same_window(world: World, hours: float) -> None:
    """The shipped cron, 05:30 in UTC, is half past midnight or half past one in New York."""
    bad = monitor(world.project, BAD)
    again = monitor(world.project, BAD + timedelta(hours=hours))

    other = {"as_of", "new_request", "text"}
    assert again.model_dump(exclude=other) == bad.model_dump(exclude=other)
    assert bad.record is not None
    assert bad.record["end"] == "2024-02-26T05:00:00Z"
    assert len(world.ledger.windows("small", "one")) == len(world.ledger.requests("small")) == 1


def test_the_first_run_may_be_late_in_the_day(world: World, tmp_path: Path) -> None:
    other = Project.load(shutil.copytree(world.project.root, tmp_path / "other"))
    late, on_time = monitor(world.project, QUIET + timedelta(hours=23)), monitor(other, QUIET)

    assert late.model_dump(exclude={"as_of"}) == on_time.model_dump(exclude={"as_of"})


def test_a_record_of_an_older_or_newer_version_is_read(world: World) -> None:
    found = monitor(world.project, QUIET).record
    assert found is not None
    added = {"min_rows", "min_days", "labels", "arrived_late"}
    older = {name: value for name, value in found.items() if name not in added} | {"gone": 1, "end": FIRST.isoformat()}
    older["drift"] = {**found["drift"], "of_a_newer_version": True}
    world.ledger.record_window(Window(name="small", build="one", end=FIRST, record=older))

    read = Record.model_validate(older).model_dump(exclude={*added, "end"})
    assert read == Record.model_validate(found).model_dump(exclude={*added, "end"})
    page = monitor(world.project, BAD).summary
    assert page is not None
    assert (world.project.home.reports("small") / page).read_text().count("<rect") == 3


def test_a_reference_too_short_is_unknown_never_quiet(world: World) -> None:
    project = world.configure((MONITORING, "monitoring: {min_rows: 50, min_days: 0, window: 20 days}"))
    found = monitor(project, QUIET)

    assert found.state == "unknown"
    assert found.text.startswith("unknown: bias: |mean p - rate| is unknown: its limit cannot be derived")
    assert not found.new_request


def test_what_nobody_predicted_is_counted(tmp_path: Path) -> None:
    world = open_world(tmp_path)
    world.promote("one", day(TRAINED))
    score(world.project, QUIET - timedelta(days=3), timedelta(days=14))
    record = monitor(world.project, QUIET).record
    assert record is not None
    rows = rows_between(QUIET - timedelta(days=3), QUIET)
    due = rows[(rows["_known"] <= QUIET.replace(tzinfo=None)) & rows["late"].notna()]

    assert record["unpredicted"] == len(due) > 0
    assert record["rows"] == 266 - len(due)


def test_a_late_correction_changes_no_record_and_is_judged_in_no_second_window(world: World) -> None:
    before = monitor(world.project, QUIET)
    rows = by_hand(world.project, QUIET)
    corrected = rows[["id", "due", "team"]].assign(late=60.0)
    world.bring("outcomes", corrected, QUIET + timedelta(days=2))

    assert monitor(world.project, QUIET) == before
    after = monitor(world.project, BAD).record
    assert after is not None
    assert after["rows"] == len(by_hand(world.project, BAD))


def test_labels_that_arrive_after_their_window_was_judged_are_counted_and_shown(world: World) -> None:
    assert monitor(world.project, QUIET).record["arrived_late"] == 0  # type: ignore[index]
    rows = rows_between(day(0), BAD)
    missing = rows[rows["late"].isna()]
    judged = missing["_known"].between((QUIET - WEEK).replace(tzinfo=None), QUIET.replace(tzinfo=None))
    late = missing[judged]
    assert len(late) == 14
    world.bring("outcomes", late[["id", "due", "team"]].assign(late=60.0), QUIET + timedelta(days=2))
    resent = by_hand(world.project, QUIET)[["id", "due", "team", "late"]].assign(team="blue")
    world.bring("outcomes", resent, QUIET + timedelta(days=3))  # neither a correction of the label nor a new one
    found = monitor(world.project, BAD)

    assert found.record is not None
    assert found.record["arrived_late"] == 14
    assert found.record["rows"] == len(by_hand(world.project, BAD)), "no other window is about them"
    assert "; 14 labels came after their window was judged" in found.text
    page = (world.project.home.reports("small") / str(found.summary)).read_text()
    assert "14 labels of earlier windows arrived late" in page
    assert monitor(world.project, BAD).record == found.record


def test_a_file_that_broke_its_contract_does_not_stop_the_monitor(world: World) -> None:
    rows = rows_between(day(0), BAD)
    with pytest.raises(FilesRefused):
        world.bring("jobs", rows.head(3)[["id", "due", "team", "size"]].assign(id=pd.array([1, None, 3], "Int64")), BAD)
    found = monitor(world.project, QUIET)

    assert found.state == "quiet"
    assert [line.split(":")[0] for line in found.refused] == ["jobs"]
    assert "broke its contract" in found.refused[0]
    assert found.text.endswith(f". Measured without 1 refused files: {found.refused[0]}")
    assert monitor(world.project, WORSE).state == "alarm"


def test_the_hour_is_the_champions_when_the_time_zone_changes(world: World) -> None:
    """Windows are today's days, features those that the model learned."""
    said = predictions(world.project)
    shutil.rmtree(world.project.lake / "predictions")
    project = world.configure(("time_zone: America/New_York", "time_zone: Europe/Berlin"))
    score(project, QUIET, timedelta(days=14))
    again = predictions(project)
    both = said.merge(again, on="_key", suffixes=("", "_again"))
    found = monitor(project, QUIET)

    assert len(both) == len(again) > 500
    assert (both["hour"] == both["hour_again"]).all()
    assert (both["p"] == both["p_again"]).all()
    assert found.record is not None
    assert found.record["end"] == "2024-02-18T23:00:00Z"
    assert found.record["complete_days"] == 7


def test_a_lost_drift_report_is_drawn_again(world: World) -> None:
    found = monitor(world.project, QUIET)
    assert found.drift_report is not None
    folder = (world.project.home.reports("small") / found.drift_report).parent
    drift = (folder / "drift.json").read_bytes()
    shutil.rmtree(folder)

    assert monitor(world.project, QUIET) == found
    assert (folder / "drift.json").read_bytes() == drift


def test_drift_alone_asks_for_a_retrain_where_it_is_configured(world: World) -> None:
    project = world.configure(
        (MONITORING, "monitoring: {min_rows: 50, min_days: 5, rules: {moved: {kind: drift, share: 0.6}}}")
    )
    assert monitor(project, QUIET).state == "quiet"

    rows = rows_between(BAD, WORSE + timedelta(days=2))
    moved = rows[["id", "due", "team", "size"]].assign(team="red", size=rows["size"] / 100)
    shutil.rmtree(project.lake / "predictions")
    # The correction is known before the rows' moments, so they are scored on what it says.
    world.bring("jobs", moved, BAD)
    score(project, WORSE + timedelta(days=2), timedelta(days=9))
    found = monitor(project, WORSE + timedelta(days=2))

    assert found.state == "alarm"
    assert found.alarms == ["moved"]
    assert found.new_request
    assert "share of drifted columns" in world.ledger.open_requests("small")[0].reason


def test_a_drift_method_that_does_not_exist_is_a_params_error(world: World) -> None:
    with pytest.raises(ParamsError, match=r"monitoring\.drift\.numeric` is 'guess': not a drift method"):
        world.configure((MONITORING, "monitoring: {min_rows: 50, drift: {numeric: guess}}"))


def test_an_altered_reference_is_refused(world: World) -> None:
    path = world.project.home.models("small") / "one" / "reference.parquet"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(RegistryError, match=r"reference\.parquet is missing or not what was stored"):
        monitor(world.project, QUIET)


def test_two_at_once_make_one_record_and_one_request(world: World) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: monitor(world.project, BAD), "ab"))

    assert [one.record for one in found] == [found[0].record] * 2
    assert sorted(one.new_request for one in found) == [False, True]
    assert len(world.ledger.windows("small", "one")) == 1
    assert len(world.ledger.requests("small")) == 1


def test_the_shift_begins_where_the_tests_think() -> None:
    assert day(SHIFT) == QUIET


def test_an_empty_week_is_immature_and_says_that_no_label_came(world: World) -> None:
    found = monitor(world.project, day(DAYS + 14))

    assert (found.state, found.rules, found.alarms, found.drift_report) == ("immature", [], [], None)
    assert found.text == (
        "immature: 0 labelled predictions on 0 whole days are too few (of 50 on 7), so no rule was asked. No label "
        "became known in the window: look at whether the labels' table still arrives"
    )
    assert found.record is not None
    assert {found.record[name] for name in ("rate", "bias", "log_loss", "skill", "drift")} == {None}
    assert "No label became known" in (world.project.home.reports("small") / str(found.summary)).read_text()
    assert monitor(world.project, WORSE).state == "alarm", "the weeks before stay what they were"


def test_a_week_that_nobody_scored_says_how_many_labels_met_no_prediction(tmp_path: Path) -> None:
    world = open_world(tmp_path)
    world.promote("one", day(TRAINED))
    found = monitor(world.project, QUIET)

    assert (found.state, found.drift_report) == ("immature", None)
    assert (
        "266 labels became known of rows without a prediction: their moments lie before the first promotion, or"
        in found.text
    )


def test_a_label_known_by_its_rows_moment_judges_nothing(world: World) -> None:
    project = world.configure(("known_at: due + interval 1 day", "known_at: due - interval 2 hours"))
    found = monitor(project, QUIET)

    assert found.state == "immature"
    assert found.record is not None
    assert found.record["rows"] == 0
