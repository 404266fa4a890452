"""Columns that know the outcome, in every way in which they were seen to: planted here, and found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evergreen.inspection.signal import area, only_among, same_rows, strength
from tests.inspection.planted import about, look, only, planted, small

DECLARED = ("size: {type: float64, between: [0, 1000]}", "size: {type: float64}\n      hint: {type: float64}")
USED = ("row: {team: team,", "row: {team: team, hinted: hint + 1,")
OWN = ("label: {table: outcomes, value: late > 10}", "label: {value: late > 10, known_at: due + interval 1 day}")
IN_ROW = ("size: {type: float64, between: [0, 1000]}", "size: {type: float64}\n      late: {type: float64}")
# The trailing view of outcomes now looks at the rows themselves.
VIEW = (
    "{table: outcomes, by: [team], mean: late > 10, over: 3 days}",
    "{table: jobs, by: [team], mean: late > 10, over: 3 days}",
)


def with_hint(hint: object) -> dict[str, pd.DataFrame]:
    tables = planted()
    tables["jobs"]["hint"] = hint
    return tables


def label() -> np.ndarray:
    return (planted()["outcomes"]["late"] > 10).to_numpy()


RNG = np.random.default_rng(1)
LEAKS = {
    "almost perfect": (np.where(label(), 5, 1) + RNG.normal(0, 0.7, 1200), "ROC AUC"),
    "the other way round": (-np.where(label(), 5, 1) + RNG.normal(0, 0.7, 1200), "ROC AUC"),
    "both ends": (np.where(label(), RNG.choice([-9, 9], 1200), RNG.normal(0, 2, 1200)), "ROC AUC"),
    "null when true": (np.where(label(), np.nan, RNG.normal(size=1200)), "null exactly when the label is true"),
    "null when false": (np.where(label(), RNG.normal(size=1200), np.nan), "null exactly when the label is false"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_that_a_feature_uses_is_a_warning_and_else_a_note(name: str) -> None:
    hint, seen = LEAKS[name]
    used = only(look(with_hint(hint), small(DECLARED, USED)), "jobs", "hint")
    assert used.severity == "warning"
    assert seen in used.seen
    assert "Used by the feature `hinted`" in used.todo
    unused = only(look(with_hint(hint), small(DECLARED)), "jobs", "hint")
    assert (unused.severity, "No feature uses it" in unused.todo) == ("note", True)
    undeclared = only(look(with_hint(hint)), "jobs", "hint")
    assert (undeclared.severity, undeclared.seen) == ("note", unused.seen)


def test_a_category_that_knows_the_outcome() -> None:
    status = np.where(label(), RNG.choice(["failed", "late"], 1200), RNG.choice(["done", "early", "fine"], 1200))
    assert "ROC AUC 1.000" in only(look(with_hint(status)), "jobs", "hint").seen


def test_what_is_honest_is_not_accused() -> None:
    """A strong column, a random id a row, a day, and gaps by chance."""
    tables = with_hint(np.where(RNG.random(1200) < 0.3, np.nan, np.where(label(), 2, 0) + RNG.normal(size=1200)))
    tables["jobs"] = tables["jobs"].assign(
        ticket=[f"t{number}" for number in RNG.permutation(1200)], number=RNG.permutation(1200),
        day=tables["jobs"]["due"].dt.date, flag=RNG.random(1200) < 0.5,
    )  # fmt: skip
    found = look(tables)
    assert [one.seen for one in found.findings] == [
        "In the source and not declared, so not read: `hint`, `ticket`, `number`, `day`, `flag`."
    ]


def test_null_only_where_the_row_never_gets_a_label() -> None:
    tables = with_hint(1.0)
    never = RNG.random(1200) < 0.1
    tables["outcomes"] = tables["outcomes"][~never]
    tables["jobs"]["hint"] = np.where(never, np.nan, 1.0)
    assert "null exactly when the row never gets a label" in only(look(tables), "jobs", "hint").seen
    tables["jobs"]["hint"] = np.where(never & (RNG.random(1200) < 0.5), np.nan, 1.0)
    found = only(look(tables, small(DECLARED, USED)), "jobs", "hint")
    assert (found.severity, "none of which ever gets a label" in found.seen) == ("warning", True)


def test_null_in_rows_of_one_class_only() -> None:
    gaps = np.where(label() & (RNG.random(1200) < 0.4), np.nan, 1.0)
    found = only(look(with_hint(gaps), small(DECLARED, USED)), "jobs", "hint")
    assert "and the label of each is true" in found.seen
    assert found.severity == "note", "what is missing may well say something"


def in_row(**columns: object) -> dict[str, pd.DataFrame]:
    tables = planted()
    tables["jobs"] = tables["jobs"].assign(late=tables["outcomes"]["late"], **columns)
    return tables


def test_the_labels_own_column_is_no_leak_until_a_feature_or_an_early_view_uses_it() -> None:
    late_view = (VIEW[0], VIEW[1].replace("over:", "known_at: due + interval 1 day, over:"))
    found = look(in_row(), small(OWN, IN_ROW, late_view))
    assert found.findings == ()

    found = look(in_row(), small(OWN, IN_ROW, late_view, ("row: {team: team,", "row: {team: team, x: late * 2,")))
    assert "The label is made of it (late > 10), and so is the feature `x`" in only(found, "jobs", "late").seen

    view = only(look(in_row(), small(OWN, IN_ROW, VIEW)), "jobs", "late")
    assert view.severity == "warning"
    assert "`features.trailing.team_late_3d` sees the outcome of the row itself: 100%" in view.seen
    assert "`known_at: due + interval 1 day`" in view.todo


def test_parts_of_the_labels_own_column() -> None:
    part = RNG.normal(size=1200)
    found = look(in_row(part=part, rest=planted()["outcomes"]["late"] - part), small(OWN, IN_ROW, VIEW))
    assert "made of `late`, which is `part + rest` in every row" in only(found, "jobs", "part").seen
    found = look(in_row(began=part, ended=planted()["outcomes"]["late"] + part), small(OWN, IN_ROW, VIEW))
    assert about(found, "jobs", "began")[0].seen.endswith("which is `ended - began` in every row.")


def test_a_derived_column_that_is_the_label_in_other_words() -> None:
    derived = ("known_at: due - interval 2 days", "known_at: due - interval 2 days\n    derived: {bad: late > 12}")
    view = (VIEW[0], VIEW[1].replace("over:", "known_at: due + interval 1 day, over:"))
    assert look(in_row(), small(OWN, IN_ROW, view, derived)).findings == ()
    found = look(in_row(), small(OWN, IN_ROW, view, derived, ("row: {team: team,", "row: {team: team, x: bad,")))
    assert {one.column for one in found.findings} == {"late"}  # `bad` is at 0.9, and made of it


def test_a_feature_that_is_too_good_though_its_columns_are_not() -> None:
    noise = RNG.normal(0, 30, 1200)
    tables = with_hint(noise)
    tables["jobs"]["size"] = np.where(label(), 5, 1) - noise
    found = look(tables, small(DECLARED, ("row: {team: team,", "row: {team: team, both: hint + size,")))
    assert "The feature `both` alone tells the label: ROC AUC 1.000" in only(found, "jobs", None).seen
    assert "`hint + size`" in only(found, "jobs", None).todo


def test_the_area_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    for seed in range(5):
        rng = np.random.default_rng(seed)
        y, score = (rng.random(300) < 0.3).astype(float), rng.integers(0, 20, 300)
        assert area(y, score) == pytest.approx(roc_auc_score(y, score))
    assert area(np.ones(5), np.arange(5)) == 0.5


@pytest.mark.parametrize(
    "values",
    [
        pa.array([None] * 400), pa.array([[1]] * 400), pa.array([True, False] * 200), pa.array([1.5] * 400),
        pa.array(["x"] * 400), pa.array([None, "y"] * 200), pa.array(range(400), pa.date32()),
        pa.array(range(400), pa.timestamp("us")), pa.array(range(400), pa.time64("us")), pa.array([b"x", b"y"] * 200),
    ],
    ids=lambda values: str(values.type),
)  # fmt: skip
def test_columns_of_every_type_have_a_strength(values: pa.Array) -> None:
    y = (np.random.default_rng(3).random(400) < 0.5).astype(float)
    assert 0.5 <= strength(y, pa.chunked_array([values])) < 0.7


def test_few_rows_prove_nothing() -> None:
    few, many = np.arange(100) < 10, np.arange(100) < 50
    assert same_rows(few, few) == 0
    assert same_rows(many, many) == 1
    assert not only_among(few, many)
    assert only_among(np.arange(100) < 25, many)
