"""`approve`: the first answer by the deadline stands, and nothing that asks for one is promoted without it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evergreen.clock import set_replay
from evergreen.errors import EvergreenError, RegistryError
from evergreen.ledger.approvals import approval_terms, deadline_of, waiting
from evergreen.params.gate import Gate
from evergreen.stages.approve import NO_COMMENT, LateAnswerError, Question, approve, expire, question
from evergreen.stages.promote import PromoteResult, promote
from evergreen.stages.rollback import rollback
from tests.stages.verdicts import FIRST, NAME, WEEK, Candidates, candidates

HOUR = timedelta(hours=1)
OVERDUE = datetime(2024, 3, 1, tzinfo=UTC)  # created then, a decision's deadline has passed


def asking(**gate: Any) -> dict[str, Any]:
    """Inputs of a decision that asks for an approval."""
    return {
        "gate": Gate(approval="required", **gate).model_dump(mode="json"),
        "approval": approval_terms(Gate(approval="required"), None),
    }


def ask(candidates: Candidates, build: str, as_of: datetime = FIRST, **changes: Any) -> str:
    return candidates.judge(build, as_of, inputs=asking(), **changes)


def carry_out(candidates: Candidates, decision: str) -> PromoteResult:
    return promote(candidates.project, decision)


def test_what_must_be_approved_waits_for_it(candidates: Candidates) -> None:
    decision = ask(candidates, "one")
    found = candidates.ledger.decision(decision)
    assert deadline_of(found) - found.created_at <= timedelta(days=3)
    waits = carry_out(candidates, decision)
    assert not waits.promoted
    assert waits.reason.startswith("waits for an approval until ")
    assert f"`evergreen approve {decision} --comment" in waits.reason
    assert [one.id for one in waiting(candidates.ledger, NAME)] == [decision]

    answer = approve(candidates.project, decision, "approve", " looked at the plots ", "ann")
    assert (answer.approved, answer.reason, answer.actor, answer.first) == (True, "looked at the plots", "ann", True)
    assert waiting(candidates.ledger, NAME) == []
    assert carry_out(candidates, decision).promoted
    assert candidates.champion() == "one"
    recorded = candidates.ledger.decision(f"approval-{decision}")
    assert (recorded.kind, recorded.verdict, recorded.actor) == ("approval", "promote", "ann")
    assert recorded.inputs["decision"] == decision


def test_nobody_s_answer_is_waited_for_where_nobody_is_asked(candidates: Candidates) -> None:
    candidates.crown("one")
    candidates.crown("two", FIRST + WEEK)
    rollback(candidates.project, "it was worse", "ann", FIRST + 2 * WEEK)
    ask(candidates, "three", FIRST + 3 * WEEK, model="two")
    assert waiting(candidates.ledger, NAME) == [], "it was rolled back"
    forced = approval_terms(Gate(approval="required"), None, forced=True)
    decision = candidates.judge("four", FIRST + 4 * WEEK, "two", inputs=asking() | {"approval": forced})
    assert [one.id for one in waiting(candidates.ledger, NAME)] == [decision], "this run asks all the same"


def test_the_champion_is_it_from_the_answer_on(candidates: Candidates) -> None:
    decision = ask(candidates, "one")
    set_replay(candidates.project.home, FIRST + 5 * HOUR)
    approve(candidates.project, decision, "approve", "", "ann")
    set_replay(candidates.project.home, FIRST + 9 * HOUR)
    carry_out(candidates, decision)
    champion = candidates.ledger.champion(NAME)
    assert champion is not None
    assert champion.as_of == FIRST + 5 * HOUR, "who predicted meanwhile is not rewritten"


def test_the_first_answer_stands(candidates: Candidates) -> None:
    decision = ask(candidates, "one")
    first = approve(candidates.project, decision, "reject", "too early in the year", "ann")
    assert first.first
    assert first.note is None
    second = approve(candidates.project, decision, "approve", "I disagree", "bob")
    assert second == first.model_copy(update={"first": False})
    assert not expire(candidates.project, decision).first
    result = carry_out(candidates, decision)
    assert (result.promoted, result.reason) == (False, "rejected by ann: too early in the year")
    assert [one.kind for one in candidates.ledger.decisions(NAME)] == ["approval", "gate"]


def test_an_answer_is_no_verdict(candidates: Candidates) -> None:
    decision = ask(candidates, "one")
    approve(candidates.project, decision, "approve", "", "ann")
    with pytest.raises(RegistryError, match=f"is no verdict: promote `{decision}`, which it is about"):
        carry_out(candidates, f"approval-{decision}")
    assert candidates.champion() is None


def test_no_comment_is_said_to_be_none(candidates: Candidates) -> None:
    assert approve(candidates.project, ask(candidates, "one"), "approve", " ", "ann").reason == NO_COMMENT


def test_a_late_answer_changes_nothing(candidates: Candidates) -> None:
    decision = ask(candidates, "one", created_at=OVERDUE)
    assert waiting(candidates.ledger, NAME) == []
    why = r"the answer of ann .* after the deadline 2024-03-04T00:00:00Z, and changes nothing"
    with pytest.raises(LateAnswerError, match=why):
        approve(candidates.project, decision, "approve", "sorry", "ann")
    assert len(candidates.ledger.decisions(NAME)) == 1
    assert carry_out(candidates, decision).reason == "nobody approved it by 2024-03-04T00:00:00Z, which rejects it"

    on_time = OVERDUE + timedelta(days=3)
    assert approve(candidates.project, decision, "approve", "just", "ann", on_time).approved
    assert carry_out(candidates, decision).promoted, "an answer that was given by then may be recorded later"


def test_the_deadline_is_that_of_params_yaml(candidates: Candidates) -> None:
    decision = candidates.judge("one", inputs=asking(approval_deadline="2 hours"), created_at=OVERDUE)
    assert deadline_of(candidates.ledger.decision(decision)) == OVERDUE + 2 * HOUR
    with pytest.raises(LateAnswerError):
        approve(candidates.project, decision, "approve", "", "ann", OVERDUE + 2 * HOUR + timedelta(seconds=1))


def test_without_an_answer_the_deadline_rejects(candidates: Candidates) -> None:
    decision = ask(candidates, "one", created_at=OVERDUE)
    assert not expire(candidates.project, decision).approved
    assert carry_out(candidates, decision).reason == "rejected by deadline: nobody answered by 2024-03-04T00:00:00Z"


def test_what_was_answered_before_the_verdict_was_about_another_one(candidates: Candidates) -> None:
    decision = ask(candidates, "one", created_at=datetime.now(UTC) + HOUR)  # judged again, after the answer
    with pytest.raises(EvergreenError, match=r"before the verdict `.*: it was about another one"):
        approve(candidates.project, decision, "approve", "", "ann")
    with pytest.raises(EvergreenError, match="nobody has answered yet"):
        expire(candidates.project, decision)
    assert len(candidates.ledger.decisions(NAME)) == 1


def test_an_approval_of_what_was_overtaken_promotes_nothing_and_says_so(candidates: Candidates) -> None:
    slow, fast = ask(candidates, "slow"), ask(candidates, "fast")
    approve(candidates.project, fast, "approve", "", "ann")
    assert carry_out(candidates, fast).promoted
    answer = approve(candidates.project, slow, "approve", "this one too", "bob")
    assert answer.approved
    assert (answer.note or "").startswith("overtaken by fast, promoted as of ")
    result = carry_out(candidates, slow)
    assert (result.promoted, result.reason) == (False, answer.note)
    assert candidates.champion() == "fast"
    assert waiting(candidates.ledger, NAME) == []


def test_only_a_verdict_to_promote_asks_anybody(candidates: Candidates) -> None:
    rejected = candidates.judge("one", inputs=asking(), verdict="reject", reason="worse")
    with pytest.raises(EvergreenError, match=r"the gate decision .* says reject: there is nothing to approve"):
        approve(candidates.project, rejected, "approve", "", "ann")
    said = question(candidates.project, rejected, {})
    assert said == "reject, which nobody is asked about: worse"
    assert not carry_out(candidates, rejected).promoted


def test_automatic_asks_nobody(candidates: Candidates) -> None:
    decision = candidates.judge("one", inputs={"approval": approval_terms(Gate(), None)})
    assert question(candidates.project, decision, {}) == "no approval is asked for (`gate.approval`)"
    with pytest.raises(EvergreenError, match="asks for no approval"):
        approve(candidates.project, decision, "approve", "", "ann")
    assert carry_out(candidates, decision).promoted


def test_a_run_may_choose_otherwise_than_params_yaml() -> None:
    assert approval_terms(Gate(), "required") == {"approval": "required", "chosen_by": "the run"}
    assert approval_terms(Gate(approval="required"), "automatic") == {
        "approval": "required", "chosen_by": "params.yaml",
    }, "who may start a run may not therefore do without the people who approve"  # fmt: skip
    assert approval_terms(Gate(approval="required"), None) == {"approval": "required", "chosen_by": "params.yaml"}


def test_the_question_shows_what_is_needed_to_answer(candidates: Candidates) -> None:
    candidates.crown("old")
    decision = candidates.judge("one", FIRST + WEEK, inputs=asking(approvers=("ann", "bob")))
    asked = question(candidates.project, decision, {"Model card": "/card.html", "MLflow run": "http://mlflow/1"})
    assert isinstance(asked, Question)
    assert asked.approvers == ["ann", "bob"]
    assert asked.subject == "promoted: promote one?"
    for text in ("[Model card](/card.html) · [MLflow run](http://mlflow/1)", "> better", "bundle", decision):
        assert text in asked.body
    approve(candidates.project, decision, "approve", "fine", "ann")
    assert question(candidates.project, decision, {}) == "answered already by ann: fine"


def test_nobody_is_asked_about_what_could_not_be_promoted(candidates: Candidates) -> None:
    slow = ask(candidates, "slow")
    candidates.crown("fast")
    said = question(candidates.project, slow, {})
    assert isinstance(said, str)
    assert said.startswith("nothing to approve: overtaken by fast")


def test_who_is_asked_to_bring_back_what_was_rolled_back_is_told(candidates: Candidates) -> None:
    candidates.crown("old")
    candidates.crown("two", FIRST + WEEK)
    rollback(candidates.project, "late\nby [night](http://elsewhere)", "ann", FIRST + 2 * WEEK)
    again = candidates.judge("three", FIRST + 2 * WEEK, model="two", inputs=asking())
    unforced = question(candidates.project, again, {})
    assert isinstance(unforced, str)
    assert unforced.startswith("nothing to approve: two, whose model is the same byte for byte, was rolled back")
    asked = question(candidates.project, again, {}, forced=True)
    assert isinstance(asked, Question)
    assert "**This run forces what a person took off:** two, whose model is the same byte for byte" in asked.body
    assert "by ann: late by [night]\\(http://elsewhere)\n\n" in asked.body


__all__ = ["candidates"]
