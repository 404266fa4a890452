"""The gate's verdicts: every planted candidate gets the right one, and nothing missing is ever a pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from benchmarks.gate.world import END, Window, logistic
from evergreen.params.gate import Gate
from evergreen.registry.gate import Evidence, Facts, Verdict, decide

DAYS, PER_DAY = 28, 100
GATE = Gate(floor={"roc_auc": 0.65, "log_loss": 0.60}, resamples=500)


class World(Window):
    """Rows of 28 days whose true log-odds are known; a model is a change of them."""

    def __init__(self, seed: int = 0, days: int = DAYS, per_day: int = PER_DAY) -> None:
        super().__init__(seed, days, per_day, teams=())
        self.first_known_at = self.known_at.copy()

    def evidence(self, candidate: np.ndarray, champion: np.ndarray | None = None) -> Evidence:
        return Evidence(self.label, candidate, champion, self.day, self.known_at, self.first_known_at)

    def planted(self, kind: str) -> np.ndarray:
        base = np.full_like(self.score, self.label.mean())
        return {
            "good": lambda: logistic(self.score),
            "weak": lambda: logistic(-1 + (self.score + 1) * 0.5),
            "shuffled labels": lambda: self.random.permutation(logistic(self.score)),
            "constant": lambda: base,
            "overconfident": lambda: logistic(self.score * 6),
        }[kind]()


def facts(**changes: Any) -> Facts:
    start = END - timedelta(days=DAYS)
    values: dict[str, Any] = {
        "as_of": END, "time_zone": "America/New_York", "build": "new", "candidate_sha256": "aa",
        "candidate_cutoff": start, "window_end": END, "threshold": 0.3,
        "champion_build": "old", "champion_model": "model", "champion_sha256": "bb",
        "champion_cutoff": start - timedelta(days=30), "last_promotion": END - timedelta(days=40),
    }  # fmt: skip
    return Facts(**(values | changes))


def first(**changes: Any) -> Facts:
    none = {"champion_build": None, "champion_model": None, "champion_sha256": None, "champion_cutoff": None}
    return facts(**(none | {"last_promotion": None} | changes))


def rule(verdict: Verdict, name: str) -> Any:
    return next(rule for rule in verdict.rules if rule.rule == name)


def judge(candidate: str, champion: str | None = None, gate: Gate = GATE, **changes: Any) -> Verdict:
    world = World()
    p = None if champion is None else world.planted(champion)
    return decide(world.evidence(world.planted(candidate), p), gate, (facts if champion else first)(**changes))


def test_a_first_model_has_only_the_floors_to_pass() -> None:
    verdict = judge("good")
    assert verdict.verdict == "promote"
    assert {r.rule for r in verdict.rules} >= {"floor.roc_auc", "floor.log_loss"}
    assert "better" not in {r.rule for r in verdict.rules}
    assert rule(verdict, "floor.roc_auc").numbers == {
        "value": verdict.metrics["candidate"]["roc_auc"], "threshold": 0.65,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["shuffled labels", "constant", "overconfident"])
def test_a_bad_first_model_is_rejected_by_a_floor(kind: str) -> None:
    verdict = judge(kind)
    assert verdict.verdict == "reject"
    assert next(r.rule for r in verdict.rules if r.passed is False).startswith("floor.")
    assert "is not at" in verdict.reason


def test_a_better_candidate_is_promoted_with_its_numbers() -> None:
    verdict = judge("good", "weak")
    assert verdict.verdict == "promote"
    better = rule(verdict, "better")
    assert better.numbers["difference"] < 0
    assert better.numbers["better"] >= better.numbers["needed"] > better.numbers["confidence"] == 0.9
    assert "better than old in log_loss" in verdict.reason
    assert set(verdict.metrics) == {"candidate", "champion"}


@pytest.mark.parametrize("kind", ["weak", "shuffled labels", "constant", "overconfident"])
def test_a_worse_candidate_is_rejected(kind: str) -> None:
    verdict = judge(kind, "good", gate=Gate(resamples=500))  # no floor helps
    assert verdict.verdict == "reject"
    assert "worse than old" in verdict.reason


def test_a_candidate_below_the_floor_is_rejected_even_where_the_champion_is_worse() -> None:
    verdict = judge("constant", "shuffled labels")
    assert verdict.verdict == "reject"
    assert rule(verdict, "better").passed is True


def test_no_difference_shown_is_inconclusive() -> None:
    world = World(seed=1)
    same_skill = world.evidence(world.off_by_day(0.3), world.off_by_day(0.3))
    assert decide(same_skill, GATE, facts()).verdict == "inconclusive"
    p = world.planted("good")
    verdict = decide(world.evidence(p, p), GATE, facts())  # other bytes, the same predictions
    assert (verdict.verdict, rule(verdict, "better").numbers["worse"]) == ("inconclusive", 0)
    assert "not shown to differ" in verdict.reason


def test_the_champion_itself_is_nothing_to_compare() -> None:
    for kind in ("good", "constant"):  # whatever the floors say
        verdict = judge(kind, kind, candidate_sha256="bb")
        assert verdict.verdict == "inconclusive"
        assert verdict.reason.startswith("nothing to compare: the candidate's twin is the champion's model")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -0.1, 1.1])
@pytest.mark.parametrize("who", ["candidate", "champion"])
def test_one_prediction_that_is_no_probability_is_inconclusive(bad: float, who: str) -> None:
    world = World()
    p = {"candidate": world.planted("good"), "champion": world.planted("weak")}
    p[who][17] = bad
    verdict = decide(world.evidence(**p), GATE, facts())
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == f"values are missing or not probabilities: 1 of {who}"


def test_missing_champion_predictions_or_labels_are_inconclusive() -> None:
    world = World()
    verdict = decide(world.evidence(world.planted("good")), GATE, facts())
    assert (verdict.verdict, rule(verdict, "complete").numbers["champion"]) == ("inconclusive", DAYS * PER_DAY)
    world.label[:] = np.nan
    verdict = decide(world.evidence(world.planted("good")), GATE, first())
    assert verdict.verdict == "inconclusive"
    assert "0 positives; at least 50" in verdict.reason


def test_an_empty_window_is_inconclusive() -> None:
    none = np.array([])
    empty = Evidence(none, none, none, none.astype("int64"), *[none.astype("datetime64[us]")] * 2)
    for champion in (facts(), first()):
        verdict = decide(empty, GATE, champion)
        assert verdict.verdict == "inconclusive"
        assert "the gate window has 0 rows; at least 500 are needed" in verdict.reason


def test_a_metric_that_cannot_be_computed_is_never_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evergreen.training.metrics.binary_metrics", lambda *_: {"roc_auc": float("nan")})
    verdict = judge("good")
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == "roc_auc cannot be computed; log_loss cannot be computed"


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"min_rows": DAYS * PER_DAY + 1}, "2800 rows; at least 2801"),
        ({"min_positives": 1400}, "positives; at least 1400"),
        ({"min_days": DAYS + 1}, "28 days; at least 29"),
    ],
)
def test_too_little_evidence_is_inconclusive_with_numbers(limit: dict[str, int], said: str) -> None:
    verdict = judge("good", "weak", gate=GATE.model_copy(update=limit))
    assert verdict.verdict == "inconclusive"
    assert said in verdict.reason


@pytest.mark.parametrize(
    "change",
    [
        {"candidate_cutoff": END - timedelta(days=20)},
        {"champion_cutoff": END - timedelta(days=20)},
        {"as_of": END - timedelta(days=1)},
        {"window_end": END - timedelta(days=1)},
    ],
)
def test_rows_that_a_model_has_seen_or_that_nobody_could_know_judge_nothing(change: dict[str, Any]) -> None:
    verdict = judge("good", "weak", **change)
    assert verdict.verdict == "inconclusive"
    assert rule(verdict, "unseen").numbers["outside"] > 0


def test_a_label_known_before_the_window_and_corrected_in_it_judges_nothing() -> None:
    world = World()
    p = world.planted("good"), world.planted("weak")
    world.first_known_at[:7] -= np.timedelta64(DAYS, "D")
    verdict = decide(world.evidence(*p), GATE, facts())
    assert (verdict.verdict, rule(verdict, "unseen").numbers) == ("inconclusive", {"outside": 7})
    world.first_known_at[:] = np.datetime64("NaT")
    assert rule(decide(world.evidence(*p), GATE, facts()), "unseen").numbers == {"outside": DAYS * PER_DAY}


def test_a_champion_that_cannot_be_judged_here_is_inconclusive_unless_a_floor_rejects() -> None:
    world = World()
    because = facts(incomparable="its twin has seen the window", champion_sha256=None, champion_cutoff=END)
    verdict = decide(world.evidence(world.planted("good")), GATE, because)
    assert (verdict.verdict, verdict.reason) == (
        "inconclusive", "nothing to compare: its twin has seen the window",
    )  # fmt: skip
    assert decide(world.evidence(world.planted("constant")), GATE, because).verdict == "reject"


def test_promotions_keep_their_distance_in_local_days() -> None:
    # Clocks in New York went forward on 10 March: 03:00 to 03:00 is a week although an hour is missing.
    last = datetime(2013, 3, 6, 8, tzinfo=UTC)
    early, due = datetime(2013, 3, 13, 6, tzinfo=UTC), datetime(2013, 3, 13, 7, tzinfo=UTC)
    for moment, expected in ((early, "inconclusive"), (due, "promote")):
        shift = moment - END
        world = World()
        world.known_at = world.known_at + np.timedelta64(shift)
        cutoffs = {"candidate_cutoff": END + shift - timedelta(days=DAYS), "window_end": moment, "as_of": moment}
        cutoffs["champion_cutoff"] = END + shift - timedelta(days=60)
        rows = world.evidence(world.planted("good"), world.planted("weak"))
        verdict = decide(rows, GATE, facts(last_promotion=last, **cutoffs))
        assert verdict.verdict == expected
    verdict = decide(rows, GATE, facts(**cutoffs, last_promotion=moment + timedelta(days=3)))
    assert "the next promotion can be as of 2013-03-23T07:00:00Z" in verdict.reason


def test_the_same_evidence_gives_the_same_verdict_and_a_recorded_one_reads_back() -> None:
    one, two = judge("good", "weak"), judge("good", "weak")
    assert one == two == Verdict.model_validate_json(one.model_dump_json())
    stored = Gate.model_validate(GATE.model_dump(mode="json"))
    assert judge("good", "weak", gate=stored) == one
    other = judge("good", "weak", gate=GATE.model_copy(update={"seed": 1}))
    assert rule(other, "better").numbers["low"] != rule(one, "better").numbers["low"]
    assert Facts.model_validate(facts().model_dump(mode="json")) == facts()


def test_of_equally_good_models_no_more_are_promoted_than_the_confidence_states() -> None:
    from scipy import stats

    gate, runs, verdicts = Gate(resamples=200), 200, []
    for seed in range(runs):
        world = World(seed, per_day=40)
        rows = world.evidence(world.off_by_day(0.4), world.off_by_day(0.4))
        verdicts.append(decide(rows, gate, facts()).verdict)
    stated = 1 - gate.confidence
    for verdict in ("promote", "reject"):
        count = verdicts.count(verdict)
        found = stats.binomtest(count, runs, stated, alternative="greater")
        low, high = stats.binomtest(count, runs).proportion_ci(0.9, "exact")
        print(f"{verdict}: {count} of {runs}, {count / runs:.1%} [{low:.1%}, {high:.1%}], stated {stated:.0%}")
        assert count > 0, "a rule that never says anything would pass"
        assert found.pvalue > 0.025
        assert high < 2 * stated
