"""What every monitoring rule must do: the catalog is walked, so a new rule is tested by being in it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from evergreen.errors import EvergreenError
from evergreen.monitoring.records import Drift, Record, Reference
from evergreen.monitoring.rules import RULES, find_rule, judge
from evergreen.params.monitoring import Rule

WEEK = timedelta(days=7)
END = datetime(2024, 3, 4, 5, tzinfo=UTC)
REFERENCE = Reference(sd=0.03, windows=12, rows=9000)
NOTHING = Reference(sd=None, windows=1, rows=500)
# The params with which a rule is made here; the others have defaults for all of theirs.
REQUIRED: dict[str, dict[str, Any]] = {"drift": {"share": 0.5}}
NUMBERS = ("rate", "mean_p", "bias", "log_loss", "skill", "brier", "roc_auc")


def record(week: int = 0, **changes: Any) -> Record:
    """A healthy window that ends `week` weeks after END."""
    values: dict[str, Any] = {
        "build": "b", "version": 1, "rows": 900, "positives": 200, "rate": 0.22, "mean_p": 0.23, "bias": 0.01,
        "log_loss": 0.5, "skill": 0.05, "brier": 0.16, "roc_auc": 0.7, "start": END + (week - 1) * WEEK,
        "end": END + week * WEEK, "first_day": None, "last_day": None, "complete_days": 7, "mature": True,
        "unpredicted": 0, "unlabelled": 0, "drift": Drift(share=0.1), "reference": REFERENCE,
    }  # fmt: skip
    return Record(**{**values, **changes})


def models() -> dict[str, Any]:
    """Rule kind: its params model, of all that params.yaml can say."""
    union = get_args(Rule)[0]
    return {get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(union)}


def make(kind: str) -> Any:
    return models()[kind](kind=kind, **REQUIRED.get(kind, {}))


def test_the_catalog_and_params_know_the_same_rules() -> None:
    assert set(RULES) == set(models())


@pytest.mark.parametrize("kind", RULES)
def test_a_healthy_window_is_quiet(kind: str) -> None:
    (result,) = judge({"mine": make(kind)}, [record()], REFERENCE)

    assert (result.name, result.kind, result.alarm) == ("mine", kind, False)
    assert result.value is not None
    assert result.limit is not None
    assert result.text


@pytest.mark.parametrize("kind", RULES)
def test_a_ruinous_window_alarms(kind: str) -> None:
    ruin = record(bias=-0.4, mean_p=0.2, rate=0.6, skill=-0.5, log_loss=1.2, drift=Drift(share=0.9))

    assert judge({"mine": make(kind)}, [ruin], REFERENCE)[0].alarm is True


@pytest.mark.parametrize("kind", RULES)
def test_a_missing_number_is_unknown_never_healthy(kind: str) -> None:
    blank = record(**dict.fromkeys(NUMBERS, math.nan), drift=Drift(share=math.nan))
    for value in (blank, record(**dict.fromkeys(NUMBERS), drift=None)):
        (result,) = judge({"mine": make(kind)}, [record(-1), value], REFERENCE)
        assert result.alarm is None
        assert result.value is None
        assert "unknown" in result.text


@pytest.mark.parametrize("kind", RULES)
def test_a_nan_that_came_past_the_models_is_unknown(kind: str) -> None:
    bad = record().model_copy(
        update={**dict.fromkeys(NUMBERS, math.nan), "drift": Drift(share=0.1).model_copy(update={"share": math.nan})}
    )

    assert judge({"mine": make(kind)}, [bad], REFERENCE)[0].alarm is None


@pytest.mark.parametrize("kind", RULES)
def test_no_record_is_unknown(kind: str) -> None:
    assert judge({"mine": make(kind)}, [], REFERENCE)[0].alarm is None


@pytest.mark.parametrize("kind", ["bias", "ewma"])
@pytest.mark.parametrize("reference", [NOTHING, REFERENCE.model_copy(update={"sd": math.nan})])
def test_a_limit_that_cannot_be_derived_is_unknown(kind: str, reference: Reference) -> None:
    (result,) = judge({"mine": make(kind)}, [record(bias=-0.4)], reference)

    assert result.alarm is None
    assert result.value == pytest.approx(0.4 if kind == "bias" else 0.16)


@pytest.mark.parametrize("kind", RULES)
def test_a_rule_is_pure(kind: str) -> None:
    records = [record(-1, bias=0.05), record()]
    before = [one.model_dump() for one in records]

    assert judge({"x": make(kind)}, records, REFERENCE) == judge({"x": make(kind)}, tuple(records), REFERENCE)
    assert [one.model_dump() for one in records] == before


def test_an_unknown_kind_lists_the_known() -> None:
    with pytest.raises(EvergreenError, match="`cusum` is not a monitoring rule; known: bias, drift, ewma, skill"):
        find_rule("cusum")
