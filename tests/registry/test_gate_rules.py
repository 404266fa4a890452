"""The gate's rules beside the verdict on the whole window, each on candidates planted for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evergreen.params.gate import Gate
from evergreen.registry.gate import Evidence, Latency, Verdict, decide
from evergreen.registry.gate.calibration import calibration_error
from evergreen.registry.gate.segments import holm
from evergreen.training.evaluation.levels import Levels
from tests.registry.test_gate import World, facts, first, logistic, rule
from tests.registry.test_kinds import Classes, Numbers

PLAIN = Gate(resamples=300)
CARRIERS = ("AA", "B6", "DL", "UA", "YV")


class Carriers(World):
    """The same days, with a carrier a row; YV flies seldom."""

    def __init__(self, seed: int = 0, per_day: int = 100) -> None:
        super().__init__(seed, per_day=per_day)
        self.carrier = self.random.choice(5, len(self.label), p=[0.4, 0.3, 0.15, 0.12, 0.03])

    def judged(self, candidate: np.ndarray, champion: np.ndarray, **changes: Any) -> Evidence:
        segments = {"carrier": Levels(self.carrier, CARRIERS)}
        return replace(self.evidence(candidate, champion), segments=segments, **changes)

    def ruinous_for(self, carrier: str) -> np.ndarray:
        """A model that knows the truth but for one carrier."""
        hurt = np.where(self.carrier == CARRIERS.index(carrier), 2.0, 0.0)
        return logistic(self.score + hurt)

    def poor(self) -> np.ndarray:
        """A model that says little of anybody."""
        return logistic(-1 + (self.score + 1) * 0.2)


def names(verdict: Verdict) -> set[str]:
    return {one.rule for one in verdict.rules}


def test_better_on_the_whole_and_ruinous_for_one_carrier_is_rejected_and_the_carrier_named() -> None:
    world = Carriers()
    rows = world.judged(world.ruinous_for("DL"), world.poor())
    verdict = decide(rows, PLAIN, facts())
    assert verdict.verdict == "reject"
    assert rule(verdict, "better").passed is True
    assert verdict.reason.startswith("worse than old in carrier=DL (")
    found = rule(verdict, "segments")
    assert (found.numbers["judged"], found.numbers["worse"]) == (4, ["carrier=DL"])
    assert found.numbers["level"] == pytest.approx(0.05)
    assert found.numbers["segments"]["carrier=DL"]["p"] < 0.05 / 4
    off = decide(rows, Gate(resamples=300, segments=None), facts())
    assert off.verdict == "promote"
    assert "segments" not in names(off)


def test_segments_too_small_to_judge_are_counted_and_named() -> None:
    world = Carriers()
    verdict = decide(world.judged(world.ruinous_for("YV"), world.planted("weak")), PLAIN, facts())
    assert verdict.verdict == "promote"
    found = rule(verdict, "segments")
    assert found.numbers["too_small"] == ["carrier=YV"]
    assert found.text.endswith("1 are too small to judge: carrier=YV")
    none = decide(
        world.judged(world.planted("good"), world.planted("weak")),
        Gate(resamples=300, segments={"min_rows": 9999}),
        facts(),
    )
    assert rule(none, "segments").text.startswith("no segment has 9999 rows to be judged on; 5 are too small")


def test_rows_of_levels_that_are_left_out_are_counted() -> None:
    world = Carriers()
    rows = world.judged(world.planted("good"), world.planted("weak"))
    place = np.where(world.carrier == 4, -1, world.carrier)
    rows = replace(rows, segments={"carrier": Levels(place, CARRIERS[:4], left_out=1)})
    numbers = rule(decide(rows, PLAIN, facts()), "segments").numbers
    assert numbers["rows_of_rare_levels"] == {"carrier": int((world.carrier == 4).sum())}


def test_holm_rejects_step_by_step() -> None:
    assert holm([0.04, 0.001, 0.012, 0.02], 0.05) == [1, 2, 3, 0]
    assert holm([0.04, 0.001, 0.03, 0.03], 0.05) == [1]  # 0.03 is more than 0.05 / 3
    assert holm([], 0.05) == holm([0.06], 0.05) == []


def test_of_two_equally_good_models_few_are_rejected_for_a_segment_or_their_calibration() -> None:
    from scipy import stats

    runs, counts = 60, {"segments": 0, "calibration": 0}
    gate = Gate(resamples=200, segments={"margin": 0}, calibration={"margin": 0})  # of the defaults next to none
    for seed in range(runs):
        world = Carriers(seed, per_day=60)
        verdict = decide(world.judged(world.off_by_day(0.4), world.off_by_day(0.4)), gate, facts())
        for name in counts:
            counts[name] += rule(verdict, name).passed is False
    assert counts["segments"] <= stats.binom.ppf(0.99, runs, 0.05)
    assert counts["calibration"] <= stats.binom.ppf(0.99, runs, 0.1)


def test_an_overconfident_candidate_that_ranks_better_is_rejected_for_its_calibration() -> None:
    world = World()
    champion = world.planted("constant")  # well calibrated, and so poor that even an overconfident one is better
    candidate = logistic(world.score * 1.8)
    verdict = decide(world.evidence(candidate, champion), PLAIN, facts())
    assert rule(verdict, "better").passed is True
    assert (verdict.verdict, rule(verdict, "calibration").passed) == ("reject", False)
    assert "the candidate is shown to be worse calibrated than old by more than 0.02" in verdict.reason
    allowed = Gate(resamples=300, calibration={"margin": 0.3})
    assert decide(world.evidence(candidate, champion), allowed, facts()).verdict == "promote"
    assert "calibration" not in names(decide(world.evidence(candidate, champion), Gate(calibration=None), facts()))


def test_calibration_of_every_kind_is_near_nothing_where_the_truth_is_said() -> None:
    world, numbers, classes = World(), Numbers(), Classes()
    for kind, metric, label, right, wrong in (
        ("binary", "log_loss", world.label, logistic(world.score), logistic(world.score * 4)),
        ("multiclass", "log_loss", classes.label, classes.chances, np.eye(3)[classes.chances.argmax(axis=1)]),
        ("regression", "mse", numbers.label, numbers.truth, numbers.truth + 30),
        ("regression", "mae", numbers.label, numbers.truth, numbers.truth + 30),
    ):
        assert calibration_error(kind, metric, label, right) < 0.03
        assert calibration_error(kind, metric, label, wrong) > 0.1


def test_predictions_that_are_equal_are_one_group_whatever_the_order_of_rows() -> None:
    label = np.repeat([0.0, 1.0], 3000)  # in order of time: first none, then all
    assert calibration_error("binary", "log_loss", label, np.full(6000, 0.5)) == pytest.approx(0)
    assert np.isnan(calibration_error("binary", "log_loss", label[:0], label[:0]))


def test_a_first_model_may_have_a_floor_of_calibration() -> None:
    gate = Gate(resamples=300, floor={"calibration_error": 0.05})
    world = World()
    good, bad = (decide(world.evidence(world.planted(kind)), gate, first()) for kind in ("good", "overconfident"))
    assert (good.verdict, bad.verdict) == ("promote", "reject")
    assert "calibration_error" in bad.reason
    assert good.metrics["candidate"]["calibration_error"] == rule(good, "floor.calibration_error").numbers["value"]
    assert "calibration" not in names(good)


def test_not_worse_by_a_margin_passes_where_better_cannot_be_shown() -> None:
    world, margin = World(), 0.02
    gate = Gate(resamples=300, mode="non_inferiority", margin=margin, calibration=None)
    good = world.planted("good")
    assert decide(world.evidence(good, good), PLAIN, facts()).verdict == "inconclusive"
    alike = decide(world.evidence(good, good), gate, facts())
    assert alike.verdict == "promote"
    assert "not worse by 0.02 than old" in alike.reason
    numbers = rule(alike, "better").numbers
    assert (numbers["margin"], numbers["within_margin"]) == (margin, 1)
    worse = decide(world.evidence(world.planted("weak"), good), gate, facts())
    assert (worse.verdict, rule(worse, "better").passed) == ("reject", False)
    world = World(seed=1)
    noisy = decide(world.evidence(world.off_by_day(0.5), world.off_by_day(0.5)),
                   gate.model_copy(update={"margin": 1e-4}), facts())  # fmt: skip
    assert (noisy.verdict, rule(noisy, "better").passed) == ("inconclusive", None)
    assert "not shown to be within 0.0001 of old" in noisy.reason


def fair(world: Carriers, gate: Gate, candidate: np.ndarray, **changes: Any) -> Verdict:
    sensitive = {"sex": Levels(changes.pop("groups", world.carrier % 2), ("f", "m"))}
    return decide(replace(world.evidence(candidate), sensitive=sensitive), gate, first(**changes))


def test_limits_of_fairness_are_those_of_fairlearn_and_absolute() -> None:
    from fairlearn import metrics

    world = Carriers()
    p = logistic(world.score + np.where(world.carrier % 2, 0.8, 0.0))
    limits = {name: 0.02 if name.endswith("difference") else 0.98 for name in (
        "demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference",
        "equalized_odds_ratio", "equal_opportunity_difference", "equal_opportunity_ratio")}  # fmt: skip
    verdict = fair(world, Gate(fairness=limits), p)
    assert verdict.verdict == "reject"
    for name in limits:
        found = rule(verdict, f"fairness.{name}.sex")
        expected = getattr(metrics, name)(world.label, p >= 0.3, sensitive_features=world.carrier % 2)
        assert found.numbers["value"] == pytest.approx(expected), name
        assert found.passed is False
        assert f"{name} of sex" in verdict.reason
    wide = {name: 0.9 if name.endswith("difference") else 0.1 for name in limits}
    assert fair(world, Gate(fairness=wide), p).verdict == "promote"


def test_fairness_of_numbers_and_of_classes() -> None:
    numbers, classes = Numbers(), Classes()
    group = numbers.random.integers(0, 2, len(numbers.label))
    off = replace(numbers.evidence(numbers.truth + 20 * group), sensitive={"sex": Levels(group, ("f", "m"))})
    gate = Gate(fairness={"bias_difference": 5, "mae_ratio": 0.2})
    verdict = decide(off, gate, first(kind="regression", threshold=None))
    assert rule(verdict, "fairness.bias_difference.sex").numbers["value"] == pytest.approx(20, abs=4)
    assert (verdict.verdict, rule(verdict, "fairness.mae_ratio.sex").passed) == ("reject", True)
    rows = replace(classes.evidence(classes.chances), sensitive={"sex": Levels(group, ("f", "m"))})
    told = first(kind="multiclass", classes=("red", "green", "blue"), threshold=None)
    assert decide(rows, Gate(fairness={"accuracy_difference": 0.2}), told).verdict == "promote"


def test_fairness_that_cannot_be_computed_is_never_a_pass() -> None:
    world, gate = Carriers(), Gate(fairness={"equalized_odds_difference": 1})
    good = world.planted("good")
    one = fair(world, gate, good, groups=np.zeros(len(good), dtype="int64"))
    assert (one.verdict, one.reason) == ("inconclusive", "equalized_odds_difference of sex cannot be computed: fewer "
                                         "than two groups have rows enough")  # fmt: skip
    none = decide(world.evidence(good), gate, first())
    assert (none.verdict, "names no column" in none.reason) == ("inconclusive", True)
    groups = (world.label == 1).astype("int64")  # of which one has no positive row
    undefined = fair(world, gate, good, groups=groups)
    assert (undefined.verdict, "a group does not define it" in undefined.reason) == ("inconclusive", True)
    small = fair(world, gate, good, groups=(np.arange(len(good)) < 50).astype("int64"))
    assert small.reason.endswith("; too small to compare: m")


QUICK, SLOW = Latency(median=2.0, p95=3.0, predictions=200), Latency(median=9.0, p95=11.0, predictions=200)


def test_size_and_latency_are_shown_and_limit_nothing_by_default() -> None:
    world = World()
    rows = world.evidence(world.planted("good"), world.planted("weak"))
    told = facts(size=2_000_000, champion_size=1_000_000, latency=SLOW, champion_latency=QUICK)
    verdict = decide(rows, PLAIN, told)
    assert verdict.verdict == "promote"
    assert rule(verdict, "size").text == "size 2000000 bytes (champion 1000000)"
    assert rule(verdict, "latency").text.startswith("latency 9 ms (champion 2); 95 % of 200 predictions")
    assert {"size", "latency"}.isdisjoint(names(decide(rows, PLAIN, facts())))


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"max_size": "1.5 MB"}, "size 2000000 bytes (champion 1000000) is not at most 1500000 bytes"),
        ({"max_size_ratio": 1.5}, "is not at most 1.5 times the champion's"),
        ({"max_latency": 5}, "latency 9 ms (champion 2) is not at most 5 ms"),
        ({"max_latency_ratio": 4}, "latency 9 ms (champion 2) is not at most 4 times the champion's"),
    ],
)
def test_a_model_too_large_or_too_slow_is_rejected(limit: dict[str, Any], said: str) -> None:
    world = World()
    rows = world.evidence(world.planted("good"), world.planted("weak"))
    told = facts(size=2_000_000, champion_size=1_000_000, latency=SLOW, champion_latency=QUICK)
    gate = Gate(resamples=300, **limit)
    verdict = decide(rows, gate, told)
    assert verdict.verdict == "reject"
    assert said in verdict.reason
    missing = decide(rows, gate, facts())
    assert (missing.verdict, "was not measured" in missing.reason) == ("inconclusive", True)
    unknown = {"champion_size": None, "champion_latency": None}
    alone = decide(world.evidence(world.planted("good")), gate, first(**told.model_dump(include={"size", "latency"})))
    assert alone.verdict == ("promote" if "ratio" in next(iter(limit)) else "reject"), "a first model has no champion"
    verdict = decide(rows, gate, told.model_copy(update=unknown))
    assert verdict.verdict == ("inconclusive" if "ratio" in next(iter(limit)) else "reject")


def test_a_refit_that_is_worse_than_its_twin_on_rows_it_has_learned_from_is_broken() -> None:
    world = World()
    rows = world.evidence(world.planted("good"), world.planted("weak"))
    refit = facts(model_sha256="cc", champion_model_sha256="bb")

    def judged(p: np.ndarray | None) -> Verdict:
        return decide(replace(rows, refit=p), PLAIN, refit)

    assert judged(np.where(world.label == 1, 0.99, 0.01)).verdict == "promote"
    assert judged(world.off_by_day(0.1)).verdict == "promote"  # a little worse by chance
    broken = judged(world.planted("constant"))
    assert broken.verdict == "reject"
    assert "worse by more than" in broken.reason
    assert broken.reason.endswith("so it is broken")
    wrong = world.planted("good")
    wrong[:3] = np.nan
    assert judged(wrong).reason.startswith("the refit is broken: 3 of its 2800 predictions")
    assert (judged(None).verdict, judged(None).reason) == ("inconclusive", "the refit's predictions are missing")


def test_a_refit_that_knows_nothing_is_broken_however_little_its_twin_knows() -> None:
    world = World(per_day=400)
    little = logistic(-1 + (world.score + 1) * 0.05)
    rows = world.evidence(little, world.planted("constant"))
    refit = facts(model_sha256="cc", champion_model_sha256="bb")
    twin, nothing = rule(decide(replace(rows, refit=little), PLAIN, refit), "refit"), world.planted("constant")
    assert twin.passed
    verdict = decide(replace(rows, refit=nothing), PLAIN, refit)
    assert rule(verdict, "refit").numbers["refit"] < 1.05 * twin.numbers["twin"], "5 % of the loss would not see it"
    assert rule(verdict, "refit").passed is False


def test_the_judged_model_itself_and_decisions_from_before_have_no_refit_to_look_at() -> None:
    world = World()
    rows = world.evidence(world.planted("good"), world.planted("weak"))
    same = decide(rows, PLAIN, facts(model_sha256="aa"))
    assert rule(same, "refit").text == "the model that serves is the one that was judged"
    assert same.verdict == "promote"
    assert "refit" not in names(decide(rows, PLAIN, facts()))
    assert "refit" not in names(decide(rows, Gate(refit=None), facts(model_sha256="cc")))


def test_the_model_that_serves_already_is_nothing_to_promote() -> None:
    world = World()
    rows = world.evidence(world.planted("good"), world.planted("weak"))
    for more in ({}, {"incomparable": "its twin has seen the window", "champion_sha256": None}):
        verdict = decide(rows, PLAIN, facts(model_sha256="cc", champion_model_sha256="cc", **more))
        assert verdict.verdict == "inconclusive"
        assert verdict.reason.startswith("nothing to compare: the model that would serve is the one that serves")
    assert decide(rows, PLAIN, facts(model_sha256="aa", champion_model_sha256="bb")).verdict == "promote"


def test_a_loss_that_is_infinite_is_never_a_pass() -> None:
    world = Numbers()
    huge = world.truth + 8
    huge[0] = 1e200
    rows = replace(world.evidence(world.truth, huge), segments={"all": Levels(np.zeros(len(huge), "int64"), ("any",))})
    verdict = decide(rows, Gate(metric="mse", resamples=300), facts(kind="regression", threshold=None))
    assert verdict.verdict == "inconclusive"
    assert {one.rule for one in verdict.rules if one.passed is None} >= {"better", "segments"}


def test_who_gives_every_class_all_of_the_chance_is_no_better_than_anybody() -> None:
    world = Classes()
    told = {"kind": "multiclass", "classes": ("red", "green", "blue"), "threshold": None}
    all_of_it = np.ones_like(world.chances)  # never wrong by log-loss, which looks at the class that came
    verdict = decide(world.evidence(all_of_it, world.chances), PLAIN, facts(**told))
    assert (verdict.verdict, rule(verdict, "complete").numbers["candidate"]) == ("inconclusive", len(all_of_it))
    rows = world.evidence(world.chances, np.full_like(world.chances, 1 / 4))  # a fourth class, which is no more
    assert decide(rows, PLAIN, facts(**told)).verdict == "promote"
    refit = facts(model_sha256="cc", champion_model_sha256="bb", **told)
    assert "the refit is broken" in decide(replace(rows, refit=all_of_it), PLAIN, refit).reason


def test_a_recorded_gate_asks_only_what_it_names() -> None:
    old = {key: value for key, value in Gate().model_dump(mode="json").items()
           if key not in ("mode", "margin", "calibration", "segments", "refit")}  # fmt: skip
    gate = Gate.recorded(old)
    assert (gate.calibration, gate.segments, gate.refit, gate.mode) == (None, None, None, "superiority")
    full = Gate(max_size="50 MB", segments={"margin": 0.1}, calibration=None)
    assert Gate.recorded(full.model_dump(mode="json")) == full
    assert full.max_size == 50_000_000


def test_a_candidate_that_learned_one_segment_only_is_rejected_with_the_others_named() -> None:
    world = Carriers()
    one = np.where(world.carrier == 0, world.planted("good"), world.label.mean())
    verdict = decide(world.judged(one, world.planted("good")), PLAIN, facts())
    assert verdict.verdict == "reject"
    assert rule(verdict, "segments").numbers["worse"] == ["carrier=B6", "carrier=DL", "carrier=UA"]


def test_a_candidate_that_learned_from_the_future_is_never_judged_on_it() -> None:
    world = World()
    oracle = np.where(world.label == 1, 0.99, 0.01)
    for when in ({"candidate_cutoff": facts().window_end}, {"as_of": facts().candidate_cutoff}):
        verdict = decide(world.evidence(oracle, world.planted("good")), PLAIN, facts(**when))
        assert (verdict.verdict, rule(verdict, "unseen").numbers["outside"]) == ("inconclusive", len(oracle))


def test_a_twin_that_learned_from_more_rows_than_its_cutoff_allows_is_not_judged() -> None:
    world = Carriers()
    rows = world.judged(logistic(world.score), world.poor())
    assert decide(rows, PLAIN, facts(twin_rows=900, twin_rows_known=900)).verdict == "promote"
    for learned in (1200, 800):
        verdict = decide(rows, PLAIN, facts(twin_rows=learned, twin_rows_known=900))
        assert verdict.verdict == "inconclusive"
        assert verdict.reason.startswith(f"the twin learned from {learned} rows, and 900 were known by its cut-off")
    old = decide(rows, PLAIN, facts())
    assert (old.verdict, "learned" in names(old)) == ("promote", False), "a decision from before the rule replays"
