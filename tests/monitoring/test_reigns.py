from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.monitoring.reigns import reigns
from evergreen.paths import Home

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """a reigns from day 10, b from day 20, a again from day 30; c was promoted and replaced in the same moment."""
    ledger, previous = Ledger.open(Home(tmp_path)), None
    for number, (build, day) in enumerate([("a", 10), ("c", 20), ("b", 20), ("a", 30)]):
        moment = START + day * DAY
        decision = Decision(
            id=f"small-{number}", name="small", kind="gate", build=build, as_of=moment, verdict="promote", reason="",
            actor="test",
        )  # fmt: skip
        ledger.record_decision(decision)
        promotion = Promotion(
            name="small", build=build, version=number, bundle="0", cutoff=moment, as_of=moment, decision=decision.id,
            previous_build=previous,
        )  # fmt: skip
        ledger.record_promotion(promotion)
        previous = build
    return ledger


def names(ledger: Ledger, after: float, until: float) -> list[tuple[float, str | None]]:
    """(the day on which it ends, champion) of each reign."""
    found = reigns(ledger, "small", START + after * DAY, START + until * DAY)
    return [((r.until - START) / DAY, r.champion.build if r.champion else None) for r in found]


def test_a_span_is_cut_at_its_promotions(ledger: Ledger) -> None:
    assert names(ledger, 5, 35) == [
        (pytest.approx(10), None),
        (pytest.approx(20), "a"),
        (pytest.approx(30), "b"),
        (35, "a"),
    ]


def test_every_moment_is_with_the_champion_of_that_moment(ledger: Ledger) -> None:
    after, until = START + 10 * DAY - TICK, START + 30 * DAY
    found = reigns(ledger, "small", after, until)

    assert found[0].after == after
    assert found[-1].until == until
    for one, following in pairwise(found):
        assert one.until == following.after
    for moment in (START + day * DAY + shift for day in (10, 20, 30) for shift in (-TICK, 0 * DAY, TICK)):
        reign = [r for r in found if r.after < moment <= r.until]
        if reign:
            assert reign[0].champion == ledger.champion("small", at=moment)


def test_a_promotion_at_the_end_has_that_one_moment(ledger: Ledger) -> None:
    found = reigns(ledger, "small", START + 25 * DAY, START + 30 * DAY)

    assert [(r.until - r.after, r.champion.build if r.champion else None) for r in found] == [
        (5 * DAY - TICK, "b"),
        (TICK, "a"),
    ]


def test_nobody_was_promoted(tmp_path: Path) -> None:
    assert [r.champion for r in reigns(Ledger.open(Home(tmp_path)), "small", START, START + DAY)] == [None]
