from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evergreen.monitoring.records import Record, Reference
from evergreen.monitoring.rules import bias, ewma, skill
from evergreen.params.monitoring import BiasRule, EwmaRule, SkillRule

WEEK = timedelta(days=7)
END = datetime(2013, 4, 29, 5, 30, tzinfo=UTC)
FLIGHTS = Reference(sd=0.035, windows=12, rows=78_000)


def window(bias: float | None, end: datetime = END, **changes: object) -> Record:
    values = {
        "build": "b", "version": None, "rows": 900, "positives": 200, "rate": 0.2, "mean_p": 0.2, "log_loss": 0.5,
        "skill": 0.1, "brier": 0.1, "roc_auc": 0.7, "first_day": None, "last_day": None, "complete_days": 6,
        "mature": True, "unpredicted": 0, "unlabelled": 0, "reference": FLIGHTS,
    }  # fmt: skip
    return Record.model_validate({**values, "bias": bias, "start": end - WEEK, "end": end, **changes})


def test_the_bias_limit_is_three_sds_of_the_reference_when_it_is_well_known() -> None:
    known = FLIGHTS.model_copy(update={"windows": 100_000})
    assert bias(BiasRule(kind="bias"), [window(0.1)], known).limit == pytest.approx(0.105, rel=1e-3)


def test_an_sd_known_from_few_windows_allows_more() -> None:
    rule = BiasRule(kind="bias")
    limit = 0.035 * 3.8499 * (13 / 12) ** 0.5  # Student's t with 11 degrees of freedom, at the normal's 3 sigmas

    assert bias(rule, [window(-0.2)], FLIGHTS).limit == pytest.approx(limit, rel=1e-4)
    assert bias(rule, [window(-0.2)], FLIGHTS).alarm is True  # the furlough week of April 2013
    assert bias(rule, [window(0.1)], FLIGHTS).alarm is False
    assert bias(rule, [window(0.1)], FLIGHTS).text == (
        "|mean p - rate| 0.100 is not above 0.140 (4.0 SDs of 0.035: 3 sigmas, known from 12 windows)"
    )
    assert bias(rule, [window(-0.2)], FLIGHTS.model_copy(update={"windows": 1})).alarm is None


def test_skill_exactly_at_its_least_is_quiet() -> None:
    rule = SkillRule(kind="skill")

    assert skill(rule, [window(0, skill=0.0)], FLIGHTS).alarm is False
    assert skill(rule, [window(0, skill=-0.001)], FLIGHTS).alarm is True


def test_the_ewma_starts_at_zero_and_finds_a_small_bias_that_stays() -> None:
    rule = EwmaRule(kind="ewma", sigmas=3, weight=0.4)
    weeks = [window(0.07, END + n * WEEK) for n in range(4)]
    known = FLIGHTS.model_copy(update={"windows": 100_000})
    results = [ewma(rule, weeks[: n + 1], known) for n in range(4)]

    assert results[0].limit == pytest.approx(0.0525, rel=1e-3)
    assert [result.value for result in results] == pytest.approx([0.028, 0.0448, 0.05488, 0.060928])
    assert [result.alarm for result in results] == [False, False, True, True]


def test_the_ewma_counts_no_day_twice() -> None:
    """Somebody runs the monitor daily: seven overlapping windows of one bad week are one week, not seven."""
    rule = EwmaRule(kind="ewma")
    daily = [window(0.1, END + timedelta(days=n)) for n in range(-7, 1)]

    assert ewma(rule, daily, FLIGHTS).value == pytest.approx(0.4 * 0.1 + 0.6 * 0.4 * 0.1)


def test_the_hour_that_daylight_saving_repeats_is_no_overlap() -> None:
    weeks = [window(0.1), window(0.1, END + WEEK, start=END - timedelta(hours=1))]

    assert ewma(EwmaRule(kind="ewma"), weeks, FLIGHTS).value == pytest.approx(0.4 * 0.1 + 0.6 * 0.4 * 0.1)


def test_the_ewma_passes_over_immature_windows_but_not_over_a_missing_bias() -> None:
    rule = EwmaRule(kind="ewma")
    earlier = window(0.9, END - WEEK, mature=False)

    assert ewma(rule, [earlier, window(0.1)], FLIGHTS).value == pytest.approx(0.04)
    assert ewma(rule, [window(None, END - WEEK), window(0.1)], FLIGHTS).alarm is None
