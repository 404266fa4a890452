"""`decisions replay`: every verdict again from stored evidence; what people decided refers to what is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.ledger.commands import decisions
from evergreen.ledger.replay import replay
from evergreen.project import Project
from tests.ledger.judged import START, judge

GATE = "gate-small-b0"
DAYS, DAY = 12, timedelta(days=1)


@pytest.fixture
def project(make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Project:
    project = make_project()
    monkeypatch.chdir(project.root)
    return project


def replayed() -> Result:
    return CliRunner().invoke(decisions, ["replay"])


def approval(**changes: Any) -> Decision:
    inputs = {"decision": GATE, "chosen": "approve", "answered_at": "2013-01-30T05:00:00Z"}
    inputs |= {"deadline": "2013-01-31T05:00:00Z"} | changes.pop("inputs", {})
    values = {"verdict": "promote", "build": "b0", "reason": "", "actor": "ann"} | changes
    return Decision(id=f"approval-{GATE}", name="small", kind="approval", as_of=START, inputs=inputs, **values)


def rollback(candidate: str, champion: str) -> Decision:
    inputs = {who: {"build": build, "bundle": f"bundle of {build}"} for who, build in
              (("candidate", candidate), ("champion", champion))}  # fmt: skip
    return Decision(
        id="rollback-small-1", name="small", kind="rollback", build=candidate, as_of=START + DAY, verdict="promote",
        reason="it said late of everything", inputs=inputs, actor="ann",
    )  # fmt: skip


def promoted(ledger: Ledger, decision: Decision, previous: str | None) -> None:
    build = str(decision.build)
    ledger.record_promotion(
        Promotion(
            name="small", build=build, version=None, bundle=f"bundle of {build}", cutoff=START, as_of=decision.as_of,
            decision=decision.id, previous_build=previous,
        )
    )  # fmt: skip


def test_every_verdict_comes_out_again(project: Project) -> None:
    made = list(judge(project.home, "small", DAYS))
    assert {decision.verdict for decision in made} == {"promote", "reject", "inconclusive"}
    assert [(one.id, one.replayed, one.problem) for one in replay(project)] == [
        (decision.id, decision.verdict, None) for decision in made
    ]
    done = replayed()
    assert done.exit_code == 0, done.stdout
    assert done.stdout.splitlines()[-1] == f"{DAYS} of {DAYS} verdicts are the same"


def test_a_verdict_that_was_recorded_otherwise_is_named(project: Project) -> None:
    made = list(judge(project.home, "small", 2))
    other = {"promote": "reject", "reject": "promote", "inconclusive": "promote"}[made[1].verdict]
    forged = made[1].model_copy(update={"id": "gate-small-forged", "verdict": other})
    Ledger.open(project.home).record_decision(forged)
    done = replayed()
    assert done.exit_code == 1
    assert f"DIFFERS    gate      {other:<13} gate-small-forged  the verdict is now: " in done.stdout
    assert done.stdout.splitlines()[-1] == "2 of 3 verdicts are the same"


def test_what_people_decided_is_not_decided_again(project: Project) -> None:
    ledger = Ledger.open(project.home)
    first, second = judge(project.home, "small", 2)
    promoted(ledger, first, None)
    ledger.record_decision(approval())
    promoted(ledger, second, "b0")
    promoted(ledger, ledger.record_decision(rollback("b0", "b1")), "b1")
    done = replayed()
    assert done.exit_code == 0, done.stdout
    assert "founded    approval  promote       approval-gate-small-b0\n" in done.stdout
    assert "founded    rollback  promote       rollback-small-1\n" in done.stdout
    assert done.stdout.splitlines()[-2:] == [
        "2 of 2 verdicts are the same",
        "2 decisions of people are not decided again: what 2 of them refer to is in the ledger",
    ]


@pytest.mark.parametrize(
    ("decision", "problem"),
    [
        (approval(inputs={"decision": "gate-small-b7"}), "it answers `gate-small-b7`, which is not in the ledger"),
        (
            approval(inputs={"despite": "rollback-small-7"}),
            "it forces against `rollback-small-7`, which is not in the ledger",
        ),
        (approval(build="b1"), "it is about b1, and answers a gate decision to promote b0"),
        (
            approval(inputs={"answered_at": "2013-01-31T05:00:01Z"}),
            "it was given at 2013-01-31T05:00:01Z, after its deadline 2013-01-31T05:00:00Z",
        ),
        (rollback("b7", "b0"), "it goes back to b7, which by the ledger was never champion with that bundle"),
        (rollback("b0", "b1"), "it takes off b1, which by the ledger was never champion with that bundle"),
    ],
    ids=lambda value: value.kind if isinstance(value, Decision) else "",
)
def test_what_refers_to_nothing_is_named(project: Project, decision: Decision, problem: str) -> None:
    ledger = Ledger.open(project.home)
    (first,) = judge(project.home, "small", 1)
    promoted(ledger, first, None)
    ledger.record_decision(decision)
    done = replayed()
    assert done.exit_code == 1
    assert f"UNFOUNDED  {decision.kind:<9} promote       {decision.id}  {problem}" in done.stdout
    assert "1 of 1 verdicts are the same" in done.stdout
