"""The ledger on SQLite and on PostgreSQL: append-only, idempotent, and readable again exactly as written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from evergreen.errors import EvergreenError
from evergreen.ledger import Decision, Ledger, Promotion, Request, Window
from evergreen.paths import Home
from tests.ledger.stores import Store

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
def test_nothing_is_changed_or_deleted(store: Store, ledger: Ledger, table: str, change: str) -> None:
    ledger.record_promotion(a_promotion(ledger))
    ledger.raise_request(a_request())
    ledger.answer_requests("small", ["request-small-1"], "gate-small-b1")
    ledger.record_window(Window(name="small", build="b1", end=APRIL, record={}))
    with pytest.raises(IntegrityError, match=f"{table} is append-only"):
        store.run(change.format(table))


@pytest.mark.parametrize("table", ["decisions", "promotions", "requests", "answers", "windows"])
def test_no_row_takes_the_place_of_another(store: Store, ledger: Ledger, table: str) -> None:
    """SQLite asks no trigger of removal when a row is replaced, and PostgreSQL's statement is an update."""
    ledger.record_promotion(a_promotion(ledger))
    ledger.raise_request(a_request())
    ledger.answer_requests("small", ["request-small-1"], "gate-small-b1")
    ledger.record_window(Window(name="small", build="b1", end=APRIL, record={}))
    before = store.rows(f"SELECT * FROM {table}")
    replace = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"
    if store.kind == "postgresql":
        key = {"answers": "request", "windows": 'name, build, "end"'}.get(table, "seq")
        replace = f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT ({key}) DO UPDATE SET created_at = 'x'"
    with pytest.raises(IntegrityError, match=f"{table} is append-only"):
        store.run(replace)
    assert store.rows(f"SELECT * FROM {table}") == before


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
