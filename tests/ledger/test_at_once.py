"""Several processes at one ledger, on SQLite and on PostgreSQL: everything is recorded once, of two one wins."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from evergreen.errors import EvergreenError
from evergreen.ledger import Ledger
from evergreen.ledger.migrations import REVISIONS
from evergreen.paths import Home
from tests.ledger.stores import Store
from tests.ledger.test_store import APRIL, a_decision, a_promotion, a_request

RACERS, RECORDS, ROUNDS = 4, 50, 10
Task = Callable[[Home, int, Any], list[str]]


def race(task: Task, home: Home, racers: int) -> list[list[str]]:
    """Run `task` in fresh processes that start together; what each of them gave."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(racers), context.Queue()
    started = [context.Process(target=_racer, args=(task, home, number, barrier, results)) for number in range(racers)]
    for racer in started:
        racer.start()
    found = [results.get(timeout=120) for _ in started]
    for racer in started:
        racer.join(timeout=120)
    return sorted(found)


def _racer(task: Task, home: Home, number: int, barrier: Any, results: Any) -> None:
    try:
        barrier.wait(timeout=120)
        results.put(task(home, number, barrier))
    except BaseException as error:  # whatever it was, the test is to see it and not to wait
        results.put([f"{type(error).__name__}: {error}"])
        raise


def record_many(home: Home, number: int, _barrier: Any) -> list[str]:
    ledger = Ledger.open(home)
    for index in range(RECORDS):
        ledger.record_decision(a_decision(f"d{index}", actor=f"racer {number}"))
        ledger.record_decision(a_decision(f"d{index} of {number}"))
        ledger.raise_request(a_request(f"r{index}"))
    return ["done"]


def promote_in_rounds(home: Home, number: int, barrier: Any) -> list[str]:
    """Each round all want to follow the champion that they all see."""
    ledger, outcomes = Ledger.open(home), []
    for index in range(ROUNDS):
        champion = ledger.champion("small")
        as_of = APRIL + timedelta(days=index)
        wanted = a_promotion(ledger, f"b{index}-{number}", champion.build if champion else None, as_of=as_of)
        barrier.wait(timeout=120)
        try:
            outcomes.append(ledger.record_promotion(wanted).build)
        except EvergreenError as error:
            outcomes.append(str(error))
        barrier.wait(timeout=120)
    return outcomes


def promote_the_same(home: Home, number: int, barrier: Any) -> list[str]:
    ledger = Ledger.open(home)
    wanted = a_promotion(ledger, version=number)
    barrier.wait(timeout=120)
    return [str(ledger.record_promotion(wanted).version)]


def open_it(home: Home, _number: int, _barrier: Any) -> list[str]:
    return [str(len(Ledger.open(home).decisions("small")))]


def test_everything_is_recorded_once(home: Home, store: Store) -> None:
    assert race(record_many, home, RACERS) == [["done"]] * RACERS  # also races for the making of the tables
    ledger = Ledger.open(home)
    ids = [decision.id for decision in ledger.decisions("small")]
    assert len(ids) == len(set(ids)) == RECORDS * (RACERS + 1)
    assert len(ledger.requests("small")) == RECORDS


def test_of_those_that_promote_at_once_one_wins(home: Home, store: Store) -> None:
    for index, outcomes in enumerate(zip(*race(promote_in_rounds, home, RACERS), strict=True)):
        won = [build for build in outcomes if build.startswith(f"b{index}-")]
        assert len(won) == 1, outcomes
        assert (
            sum("run the retrain again, so that the gate compares with it" in told for told in outcomes) == RACERS - 1
        )
    promotions = Ledger.open(home).promotions("small")
    assert [one.previous_build for one in promotions] == [*(one.build for one in promotions[1:]), None]
    assert store.rows("SELECT number FROM promotions ORDER BY seq") == [(number,) for number in range(1, ROUNDS + 1)]


def test_one_decision_that_is_carried_out_twice_at_once_promotes_once(home: Home, store: Store) -> None:
    versions = race(promote_the_same, home, RACERS)
    assert len(set(map(tuple, versions))) == 1
    assert len(Ledger.open(home).promotions("small")) == 1


def test_a_new_ledger_is_made_once(home: Home, store: Store) -> None:
    assert race(open_it, home, RACERS) == [["0"]] * RACERS
    assert store.rows("SELECT version_num FROM ledger_version") == [(REVISIONS[-1],)]
