"""`begin`: a retrain runs where there is something to learn, and says why where there is not."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from ruamel.yaml import YAML

from evergreen import clock
from evergreen.ledger import Decision, Ledger, Promotion, Request
from evergreen.ledger.approvals import deadline_of
from evergreen.paths import file_sha256
from evergreen.project import Project
from evergreen.stages.approve import expire
from evergreen.stages.ingest import ingest
from evergreen.stages.retrain import SECTIONS, BeginResult, begin
from evergreen.stages.validate import validate
from tests.conftest import ROOT

AS_OF = datetime(2013, 4, 1, 7, tzinfo=UTC)  # 03:00 in New York
DAY = timedelta(days=1)


class Loop:
    """A project whose labels are known up to two hours before `as_of`, night after night."""

    def __init__(self, project: Project) -> None:
        self.project, self.ledger = project, Ledger.open(project.home)
        self.known: datetime | None = AS_OF - timedelta(hours=2)

    def judge(self, build: str, as_of: datetime, verdict: str = "promote", approval: str = "automatic") -> Decision:
        self.store(build)
        cutoff = clock.ceil_day(as_of - timedelta(hours=2), self.project.params.zone)
        return self.ledger.record_decision(
            Decision(
                id=f"gate-small-{build}", name="small", kind="gate", build=build, as_of=as_of, verdict=verdict,
                reason="", actor="test",
                inputs={
                    "candidate": {"cutoff": clock.format_time(cutoff)}, "approval": {"approval": approval},
                    "gate": {"approval_deadline": "3 days"},
                },
            )
        )  # fmt: skip

    def store(self, build: str) -> None:
        """What is asked of a build's bundle here: its params."""
        folder = self.project.home.models("small") / build
        folder.mkdir(parents=True)
        shutil.copy(self.project.root / "params.yaml", folder)
        (folder / "bundle.json").write_text(json.dumps({"params.yaml": file_sha256(folder / "params.yaml")}))

    def edit(self, old: str, new: str, commit: bool = True) -> None:
        path = self.project.root / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        if commit:
            subprocess.run(["git", "-C", str(self.project.root), "commit", "-qam", "edit"], check=True)

    def promote(self, build: str, as_of: datetime) -> None:
        decision = self.judge(build, as_of)
        self.ledger.record_promotion(
            Promotion(
                name="small", build=build, version=None, bundle="", cutoff=as_of, as_of=as_of, decision=decision.id,
                previous_build=None,
            )
        )  # fmt: skip

    def ask(self, id_: str, as_of: datetime) -> None:
        self.ledger.raise_request(
            Request(id=id_, name="small", as_of=as_of, raised_by="monitor", reason="bias", build="b1")
        )

    def begin(self, as_of: datetime, known: datetime | None = None, force: bool = False) -> BeginResult:
        self.known = known or as_of - timedelta(hours=2)
        return begin(self.project, as_of, force)


@pytest.fixture
def loop(make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop(make_project())
    monkeypatch.setattr("evergreen.features.labels.label_cutoff", lambda *_: made.known)
    return made


def test_a_first_model_is_wanted_as_soon_as_labels_are_known(loop: Loop) -> None:
    assert loop.begin(AS_OF).reason == "there is no champion yet"
    loop.known = None
    result = begin(loop.project, AS_OF, force=True)
    assert (result.run, result.label_cutoff) == (False, None)
    assert "no label is known at 2013-04-01T07:00:00Z: ingest `outcomes`" in result.reason


def test_nothing_new_ends_the_run_and_says_so_even_where_asked(loop: Loop) -> None:
    loop.judge("b1", AS_OF, "reject")
    again = loop.begin(AS_OF + timedelta(hours=1), known=AS_OF - timedelta(hours=1))
    assert not again.run
    assert "labels are known up to 2013-04-01T06:00:00Z, and b1 was judged" in again.reason
    loop.ask("r1", AS_OF + timedelta(minutes=30))
    asked = loop.begin(AS_OF + timedelta(hours=1), known=AS_OF - timedelta(hours=1))
    assert (asked.run, asked.requests) == (False, ["r1"])
    assert "open until there are: r1" in asked.reason
    assert loop.begin(AS_OF + timedelta(hours=1), known=AS_OF - timedelta(hours=1), force=True).run
    tomorrow = loop.begin(AS_OF + DAY)
    assert (tomorrow.run, tomorrow.reason) == (True, "requested: r1")


def test_a_new_day_of_labels_is_worth_a_run(loop: Loop) -> None:
    loop.promote("b1", AS_OF - 8 * DAY)
    loop.judge("b2", AS_OF - DAY, "reject")
    result = loop.begin(AS_OF)
    assert (result.run, result.reason) == (True, "labels are known up to 2013-04-01T05:00:00Z")
    assert not loop.begin(AS_OF, known=AS_OF - DAY).run


def test_after_a_promotion_only_a_request_is_worth_a_run(loop: Loop) -> None:
    loop.promote("b1", AS_OF)
    soon = loop.begin(AS_OF + 6 * DAY)
    assert not soon.run
    assert soon.reason == (
        "b1 was promoted as of 2013-04-01T07:00:00Z; the next retrain without a request is due at 2013-04-08T07:00:00Z"
    )
    assert loop.begin(AS_OF + 7 * DAY).run
    loop.ask("r1", AS_OF + 2 * DAY)
    assert loop.begin(AS_OF + 6 * DAY).reason == "requested: r1"


def test_while_a_build_waits_for_an_approval_no_other_one_is_made(loop: Loop) -> None:
    asked = loop.judge("b1", AS_OF, approval="required")
    loop.ask("r1", AS_OF + DAY)
    waits = loop.begin(AS_OF + 2 * DAY)
    assert (waits.run, waits.requests) == (False, ["r1"])
    assert waits.reason.startswith("b1 waits for an approval until 20")
    assert loop.begin(AS_OF + 2 * DAY, force=True).run
    expire(loop.project, asked.id, deadline_of(asked))
    assert loop.begin(AS_OF + 2 * DAY).reason == "requested: r1"


def test_a_request_from_later_than_as_of_is_not_seen(loop: Loop) -> None:
    loop.promote("b1", AS_OF)
    loop.ask("r1", AS_OF + 3 * DAY)
    assert loop.begin(AS_OF + 2 * DAY).requests == []


def test_a_request_that_a_judged_build_covers_is_answered(loop: Loop) -> None:
    loop.ask("r1", AS_OF - DAY)
    loop.judge("b1", AS_OF, "inconclusive")
    assert loop.begin(AS_OF + DAY).requests == []
    assert [request.answered_by for request in loop.ledger.requests("small")] == ["gate-small-b1"]


def test_a_backfill_does_not_hide_what_newer_labels_were_judged(loop: Loop) -> None:
    loop.judge("newer", AS_OF, "reject")
    loop.judge("older", AS_OF - 10 * DAY, "reject")
    result = loop.begin(AS_OF, known=AS_OF - DAY)
    assert not result.run
    assert "newer was judged" in result.reason


def test_an_edited_model_is_something_new_once_it_is_committed(loop: Loop) -> None:
    loop.judge("b1", AS_OF, "reject")
    known = AS_OF - timedelta(hours=1)
    loop.edit("max_iter: 20", "max_iter: 30", commit=False)
    assert not loop.begin(AS_OF + DAY, known).run
    loop.edit("name: small", "name: small\nowner: others")  # commits both
    loop.edit("size: size, ", "size: size / 2, ")
    loop.edit("gate: {window: 7 days", "gate: {window: 8 days")
    loop.ask("r1", AS_OF + DAY)
    assert loop.begin(AS_OF + DAY, known).reason == "requested: r1"
    result = loop.begin(AS_OF + DAY / 2, known)
    loop.promote("b0", AS_OF - 8 * DAY)
    assert (result.run, result.reason) == (True, "there is no champion yet")
    changed = "params.yaml has changed since b1 was judged: features, training, gate.window"
    assert loop.begin(AS_OF + DAY / 2, known).reason == changed
    loop.judge("b2", AS_OF + DAY / 2, "reject")
    assert not loop.begin(AS_OF + DAY, known).run
    loop.edit("floor: {roc_auc: 0.5}", "floor: {roc_auc: 0.6}")
    loop.edit("min_rows: 50}", "min_rows: 51}")
    assert not loop.begin(AS_OF + DAY, known).run  # makes no other model


def test_what_cannot_be_compared_runs_and_says_so(loop: Loop) -> None:
    loop.promote("b0", AS_OF - 8 * DAY)
    loop.judge("b1", AS_OF, "reject")
    known = AS_OF - timedelta(hours=1)
    assert not loop.begin(AS_OF + DAY, known).run
    shutil.rmtree(loop.project.home.models("small") / "b1")
    result = loop.begin(AS_OF + DAY, known)
    assert result.run
    assert "since b1 was judged cannot be told: there is no bundle of the build b1" in result.reason


def test_a_decision_that_does_not_say_what_it_judged_hides_nothing(loop: Loop) -> None:
    loop.ledger.record_decision(
        Decision(id="d", name="small", kind="gate", build="b", as_of=AS_OF, verdict="reject", reason="", actor="test")
    )
    assert loop.begin(AS_OF).reason == "there is no champion yet"


def test_the_sections_that_make_a_model_are_those_of_dvc_yaml() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    made = [stages.pop("features"), stages.pop("train")]
    tracked = {name for stage in made for name in stage["params"]}
    assert tracked - {"prediction.label"} == set(SECTIONS), "`prediction` holds its label"
    assert list(stages) == ["evaluate"], "which says of a model what it is worth, and makes no other"


def test_labels_count_as_the_lake_knows_them(make_project: Callable[..., Project]) -> None:
    project = make_project()
    drops = project.root / "drops"
    drops.mkdir()
    rows = "id,due,team,late\n1,2013-03-30 12:00:00,red,20\n2,2013-03-31 12:00:00,red,1\n"
    (drops / "outcomes-1.csv").write_text(rows)
    ingest(project, "outcomes", AS_OF)
    validate(project, "outcomes")
    assert begin(project, AS_OF).label_cutoff == "2013-03-31T12:00:00Z"  # due + 1 day; the other is not known yet
    assert begin(project, AS_OF + DAY).label_cutoff == "2013-04-01T12:00:00Z"


def test_outcomes_without_a_value_are_no_labels_and_are_counted(make_project: Callable[..., Project]) -> None:
    project = make_project()
    drops = project.root / "drops"
    drops.mkdir()
    (drops / "outcomes-1.csv").write_text("id,due,team,late\n1,2013-03-30 12:00:00,red,\n2,2013-03-30 13:00:00,red,\n")
    ingest(project, "outcomes", AS_OF)
    validate(project, "outcomes")
    result = begin(project, AS_OF, force=True)
    assert not result.run
    assert result.reason == (
        "no label is known at 2013-04-01T07:00:00Z: 2 rows of `outcomes` are, and prediction.label.value (`late > 10`) "
        "is null for all of them"
    )
