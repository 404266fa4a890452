"""Labels that are numbers or several classes: what is wrong with them, and what tells too much of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evergreen.inspection.report import print_report
from tests.inspection.planted import about, look, only, planted, small

LABEL = "label: {table: outcomes, value: late > 10}"
FLOOR = ("floor: {roc_auc: 0.5}, ", "")
MINUTES = (LABEL, "label: {table: outcomes, kind: regression, value: late}")
VIEW = ("  trailing: {team_late_3d: {table: outcomes, by: [team], mean: late > 10, over: 3 days}}\n", "")
TEAMS = (LABEL, "label: {table: outcomes, kind: multiclass, classes: [low, middle, high], value: team}")


def with_classes() -> dict[str, pd.DataFrame]:
    """The outcomes' `team` is one of three classes, which the jobs' size does not decide."""
    tables = planted()
    random = np.random.default_rng(0)
    tables["outcomes"]["team"] = random.choice(["low", "middle", "high"], len(tables["outcomes"]), p=[0.5, 0.3, 0.2])
    return tables


def test_a_number_is_described_and_nothing_is_wrong_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = look(planted(), small(MINUTES, FLOOR))
    assert found.count("error") == found.count("warning") == 0
    assert found.label is not None
    assert found.label.rate is None
    late = planted()["outcomes"]["late"]
    assert found.label.figures["mean"] == pytest.approx(late.mean())
    assert found.label.figures["highest"] == late.max()
    print_report(found)
    assert f"mean {late.mean():.4g}" in capsys.readouterr().out


def test_numbers_that_are_infinite_all_the_same_or_only_two() -> None:
    tables = planted()
    tables["outcomes"].loc[:2, "late"] = [np.inf, -np.inf, np.inf]
    found = only(look(tables, small(MINUTES, FLOOR)), "outcomes", "prediction.label.value")
    assert found.severity == "error"
    assert "`late` is not finite: `inf` (2 rows), `-inf` (1 rows)." in found.seen

    tables["outcomes"]["late"] = 4.5
    found = only(look(tables, small(MINUTES, FLOOR)), "outcomes", "prediction.label.value")
    assert (found.severity, "is 4.5 in all 1,200 rows" in found.seen) == ("error", True)

    tables["outcomes"]["late"] = np.arange(len(tables["outcomes"])) % 2.0
    found = only(look(tables, small(MINUTES, FLOOR)), "outcomes", "prediction.label.value")
    assert (found.severity, "make it a binary label" in found.todo) == ("note", True)


@pytest.mark.parametrize(
    ("leak", "figure"),
    [
        (lambda late: 500 - late, "rank correlation 1.000"),
        (lambda late: 500 + late + np.sin(np.arange(1200)), "rank correlation 0.99"),
        (lambda late: (late - late.median()).abs().clip(0, 1000), None),
    ],
)
def test_a_column_that_tells_the_number(leak, figure: str | None) -> None:
    tables = planted()
    tables["jobs"]["size"] = leak(tables["outcomes"]["late"]).to_numpy()
    found = about(look(tables, small(MINUTES, FLOOR)), "jobs", "size", loud=True)
    assert [figure in one.seen for one in found] == ([True] if figure else []), found


def test_a_number_that_is_told_by_values_without_an_order() -> None:
    tables = planted()
    random = np.random.default_rng(1)
    teams = random.choice(["red", "green", "blue"], len(tables["jobs"]))
    tables["jobs"]["team"] = teams
    tables["outcomes"]["late"] = pd.Series(teams).map({"red": 3.0, "green": 50.0, "blue": 7.0}) + random.random(1200)
    found = only(look(tables, small(MINUTES, FLOOR)), "jobs", "team")
    assert "its values explain 100.0%" in found.seen


def test_classes_are_described_and_the_unknown_and_absent_ones_named(capsys: pytest.CaptureFixture[str]) -> None:
    tables = with_classes()
    found = look(tables, small(TEAMS, FLOOR, VIEW))
    assert found.count("error") == found.count("warning") == 0
    assert found.label is not None
    assert found.label.figures["low"] == pytest.approx((tables["outcomes"]["team"] == "low").mean())
    print_report(found)
    assert "of them `middle`" in capsys.readouterr().out

    tables["outcomes"]["team"] = tables["outcomes"]["team"].replace("high", "High")
    found = look(tables, small(TEAMS, FLOOR, VIEW))
    unknown = only(found, "outcomes", "prediction.label.value")
    assert unknown.severity == "error"
    count = (tables["outcomes"]["team"] == "High").sum()
    assert f"none of prediction.label.classes (low, middle, high): `High` ({count} rows)" in unknown.seen
    absent = only(found, "outcomes", "prediction.label.classes")
    assert (absent.severity, absent.seen) == ("warning", "No label of the sample is `high`.")


def test_a_column_that_tells_the_class_or_is_null_where_it_is_one() -> None:
    tables = with_classes()
    place = tables["outcomes"]["team"].map({"low": 200.0, "middle": 900.0, "high": 10.0})
    tables["jobs"]["size"] = place.to_numpy()
    found = only(look(tables, small(TEAMS, FLOOR, VIEW)), "jobs", "size")
    assert "mean ROC AUC of its classes 1.000" in found.seen

    tables["jobs"]["size"] = pd.Series(np.random.default_rng(2).uniform(0, 999, 1200)).mask(place == 900).to_numpy()
    found = only(look(tables, small(TEAMS, FLOOR, VIEW)), "jobs", "size")
    assert found.seen == "It is null exactly when the label is middle."
