"""The ledger: append-only, idempotent, safe for several processes, and readable again exactly as written."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from evergreen.errors import EvergreenError
from evergreen.ledger import Decision, Ledger, Promotion, Request, Window
from evergreen.paths import Home

APRIL = datetime(2013, 4, 1, 4, tzinfo=UTC)


def a_decision(id_: str = "gate-small-b1", **changes: Any) -> Decision:
    values: dict[str, Any] = {
        "id": id_, "name": "small", "kind": "gate", "build": "b1", "as_of": APRIL, "verdict": "promote",
        "reason": "better", "inputs": {"rules": [{"p": 0.95}]}, "evidence": "ab", "actor": "test",
    }  # fmt: skip
    return Decision(**(values | changes))


def a_promotion(ledger: Ledger, build: str = "b1", previous: str | None = None, **changes: Any) -> Promotion:
    decision = ledger.record_decision(a_decision(f"gate-small-{build}", build=build))
    values: dict[str, Any] = {
        "name": "small", "build": build, "version": 1, "bundle": "cd", "cutoff": APRIL - timedelta(days=1),
        "as_of": APRIL, "decision": decision.id, "previous_build": previous,
    }  # fmt: skip
    return Promotion(**(values | changes))


def a_request(id_: str = "request-small-1", **changes: Any) -> Request:
    values: dict[str, Any] = {
        "id": id_, "name": "small", "as_of": APRIL, "raised_by": "monitor", "reason": "bias", "build": "b1",
    }  # fmt: skip
    return Request(**(values | changes))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def ledger(home: Home) -> Ledger:
    return Ledger.open(home)


def test_a_record_comes_back_as_it_was_written(home: Home, ledger: Ledger) -> None:
    east = timezone(timedelta(hours=-4))
    decision = a_decision(as_of=APRIL.astimezone(east))
    assert ledger.record_decision(decision) == decision
    assert Ledger.open(home).decision(decision.id) == decision
    assert ledger.decision(decision.id).as_of.utcoffset() == timedelta(0)
    promotion = ledger.record_promotion(a_promotion(ledger))
    assert ledger.champion("small") == promotion
    window = Window(name="small", build="b1", end=APRIL, record={"rows": 3, "bias": 0.1})
    assert ledger.record_window(window) == window


def test_a_number_that_is_not_finite_is_stored_as_missing(ledger: Ledger) -> None:
    stored = ledger.record_decision(a_decision(inputs={"auc": float("nan"), "loss": [float("inf"), 1.5]}))
    assert stored.inputs == {"auc": None, "loss": [None, 1.5]}


def test_what_was_recorded_first_stands(ledger: Ledger) -> None:
    first = ledger.record_decision(a_decision())
    assert ledger.record_decision(a_decision(verdict="reject")) == first
    assert len(ledger.decisions("small")) == 1
    promotion = ledger.record_promotion(a_promotion(ledger))
    assert ledger.record_promotion(a_promotion(ledger, version=9)) == promotion
    assert ledger.raise_request(a_request())[1] is True
    request, new = ledger.raise_request(a_request(reason="other"))
    assert (request.reason, new) == ("bias", False)
    window = Window(name="small", build="b1", end=APRIL, record={"rows": 3})
    ledger.record_window(window)
    assert ledger.record_window(window.model_copy(update={"record": {"rows": 4}})).record == {"rows": 3}


@pytest.mark.parametrize("table", ["decisions", "promotions", "requests", "answers", "windows"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET created_at = 'x'"])
def test_nothing_is_changed_or_deleted(home: Home, ledger: Ledger, table: str, change: str) -> None:
    ledger.record_promotion(a_promotion(ledger))
    ledger.raise_request(a_request())
    ledger.answer_requests("small", ["request-small-1"], "gate-small-b1")
    ledger.record_window(Window(name="small", build="b1", end=APRIL, record={}))
    connection = sqlite3.connect(home.ledger)
    try:
        with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
            connection.execute(change.format(table))
    finally:
        connection.close()


def test_decisions_are_newest_first_and_of_one_use_case(ledger: Ledger) -> None:
    for number in range(3):
        ledger.record_decision(a_decision(f"d{number}"))
    ledger.record_decision(a_decision("other", name="other"))
    assert [d.id for d in ledger.decisions("small")] == ["d2", "d1", "d0"]
    assert [d.id for d in ledger.decisions("small", limit=1)] == ["d2"]


def test_the_champion_is_that_of_the_moment(ledger: Ledger) -> None:
    ledger.record_promotion(a_promotion(ledger))
    week = APRIL + timedelta(days=7, microseconds=1)
    ledger.record_promotion(a_promotion(ledger, "b2", "b1", as_of=week))
    found = [
        ledger.champion("small", at) for at in (APRIL - timedelta(seconds=1), APRIL, APRIL + timedelta(days=7), week)
    ]
    assert [p.build if p else None for p in found] == [None, "b1", "b1", "b2"]
    assert ledger.champion("other") is None
    assert [p.build for p in ledger.promotions("small")] == ["b2", "b1"]


def test_a_promotion_that_another_has_overtaken_is_refused(ledger: Ledger) -> None:
    ledger.record_promotion(a_promotion(ledger))
    with pytest.raises(EvergreenError, match="follow the champion `None`, but that is `b1`"):
        ledger.record_promotion(a_promotion(ledger, "b2", None))


def test_the_past_is_not_rewritten(ledger: Ledger) -> None:
    ledger.record_promotion(a_promotion(ledger))
    with pytest.raises(EvergreenError, match="the past is not rewritten"):
        ledger.record_promotion(a_promotion(ledger, "b2", "b1", as_of=APRIL - timedelta(days=1)))


def test_a_promotion_needs_its_decision(ledger: Ledger) -> None:
    with pytest.raises(EvergreenError, match="no decision `nowhere`"):
        ledger.record_promotion(a_promotion(ledger, decision="nowhere"))


def test_a_request_is_open_until_its_first_answer(ledger: Ledger) -> None:
    ledger.raise_request(a_request("r1"))
    ledger.raise_request(a_request("r2", as_of=APRIL + timedelta(days=1)))
    assert [r.id for r in ledger.open_requests("small")] == ["r1", "r2"]
    assert [r.id for r in ledger.open_requests("small", APRIL)] == ["r1"]
    for id_ in ("d1", "d2"):
        ledger.record_decision(a_decision(id_))
        answered = ledger.answer_requests("small", ["r1"], id_)
        assert [r.answered_by for r in answered] == ["d1"]
    assert [r.id for r in ledger.open_requests("small")] == ["r2"]
    with pytest.raises(EvergreenError, match="no retrain request r9"):
        ledger.answer_requests("small", ["r9"], "d1")


def test_an_id_belongs_to_one_use_case(ledger: Ledger) -> None:
    ledger.record_decision(a_decision())
    with pytest.raises(EvergreenError, match="belongs to `small`"):
        ledger.record_decision(a_decision(name="other"))


def test_windows_are_in_order_of_their_end(ledger: Ledger) -> None:
    for days in (14, 7, 21):
        ledger.record_window(Window(name="small", build="b1", end=APRIL + timedelta(days=days), record={"d": days}))
    assert [w.record["d"] for w in ledger.windows("small", "b1")] == [7, 14, 21]


def test_an_unreachable_ledger_is_named(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", f"sqlite:///{tmp_path}/nowhere/ledger.db")
    with pytest.raises(EvergreenError, match=r"nowhere/ledger\.db cannot be used"):
        Ledger.open(home)
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", "not a url")
    with pytest.raises(EvergreenError, match="EVERGREEN_LEDGER_URL"):
        Ledger.open(home)


def test_a_locked_ledger_is_an_error_after_its_deadline(
    home: Home, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evergreen.ledger.engine.BUSY_SECONDS", 0.1)
    impatient = Ledger.open(home)
    holder = sqlite3.connect(home.ledger)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(EvergreenError, match="database is locked; nothing was recorded"):
            impatient.record_decision(a_decision())
        assert impatient.decisions("small") == []  # readers are not held up
    finally:
        holder.close()


def _race(task: Callable[[Home, int], str], home: Home) -> list[str]:
    """Run `task` in two fresh processes that start together."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    racers = [context.Process(target=_racer, args=(task, home, number, barrier, results)) for number in (1, 2)]
    for racer in racers:
        racer.start()
    found = [results.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join(timeout=60)
    return sorted(found)


def _racer(task: Callable[[Home, int], str], home: Home, number: int, barrier: Any, results: Any) -> None:
    barrier.wait(timeout=60)
    try:
        results.put(task(home, number))
    except EvergreenError as error:
        results.put(f"refused: {error}")


def _record_many(home: Home, number: int) -> str:
    ledger = Ledger.open(home)
    for index in range(20):
        ledger.record_decision(a_decision(f"d{index}", actor=f"racer {number}"))
        ledger.raise_request(a_request(f"r{index}"))
    return "done"


def _promote_one(home: Home, number: int) -> str:
    ledger = Ledger.open(home)
    return ledger.record_promotion(a_promotion(ledger, f"b{number}")).build


def test_two_processes_that_race_record_everything_once(home: Home) -> None:
    assert _race(_record_many, home) == ["done", "done"]  # also races for the making of the tables
    ledger = Ledger.open(home)
    assert sorted(d.id for d in ledger.decisions("small")) == sorted(f"d{index}" for index in range(20))
    assert len(ledger.requests("small")) == 20


def test_of_two_processes_that_promote_at_once_one_wins(home: Home) -> None:
    winner, refused = _race(_promote_one, home)
    assert refused.startswith("refused: ")
    champion = Ledger.open(home).champion("small")
    assert champion is not None
    assert champion.build == winner
    assert len(Ledger.open(home).promotions("small")) == 1
