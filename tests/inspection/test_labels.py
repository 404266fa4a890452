"""`known_at`, the moment of prediction and the label: what never comes, comes too early, or is always the same."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.inspection.planted import about, look, only, planted, small

OWN = ("label: {table: outcomes, value: late > 10}", "label: {value: size > 500, known_at: due + interval 1 day}")


def test_rows_without_known_at_and_rows_of_the_future() -> None:
    tables = planted()
    tables["outcomes"]["due"] = tables["outcomes"]["due"].mask(tables["outcomes"]["id"] <= 6)
    found = only(look(tables), "outcomes", "known_at")
    assert found.severity == "note"
    assert "no value in 6 of 1,200 rows (0.50%), such as id=1" in found.seen

    tables = planted()
    tables["outcomes"]["due"] += pd.Timedelta(days=365)
    found = only(look(tables), "outcomes", "known_at")
    assert found.severity == "warning"
    assert "lies after now (2024-06-01T00:00Z) in 1,200 of 1,200 rows" in found.seen


def test_rows_announced_ahead_are_noted_and_a_mistyped_year_is_not() -> None:
    tables = planted()
    soon = tables["outcomes"]["due"].mask(tables["outcomes"]["id"] == 5, pd.Timestamp("2024-06-10", tz="UTC"))
    tables["outcomes"]["due"] = soon
    assert only(look(tables), "outcomes", "known_at").severity == "note"
    ahead = ("known_at: due + interval 1 day", "known_at: due + interval 1 day\n    ahead: 14 days")
    assert about(look(tables, small(ahead)), "outcomes", "known_at") == []

    tables["outcomes"]["due"] = soon.mask(tables["outcomes"]["id"] == 7, pd.Timestamp("2204-06-10", tz="UTC"))
    found = only(look(tables), "outcomes", "known_at")
    assert found.severity == "warning"
    assert "in 2 of 1,200 rows (0.17%), up to 2204-06-11T00:00Z, such as id=7" in found.seen
    found = only(look(tables, small(ahead)), "outcomes", "known_at")
    assert "and 14 days (`ahead`) in 1 of 1,200 rows" in found.seen
    assert found.todo.startswith("They go to quarantine.")


def test_rows_that_are_never_predicted() -> None:
    found = only(
        look(planted(), small(("at: due - interval 1 hour", "at: due - interval 3 days"))), "jobs", "prediction.at"
    )
    assert found.severity == "error"
    assert "lies before `known_at` (due - interval 2 days) in 1,200 of 1,200 rows (100.00%)" in found.seen
    assert "correct `tables.jobs.known_at`" in found.todo

    tables = planted()
    tables["jobs"]["due"] = tables["jobs"]["due"].mask(tables["jobs"]["id"] <= 6)
    found = only(look(tables), "jobs", "prediction.at")
    assert (found.severity, "no value in 6 of 1,200 rows" in found.seen) == ("note", True)


def test_labels_that_join_no_row_show_both_sides() -> None:
    tables = planted()
    tables["outcomes"]["id"] += 10_000_000
    found = only(look(tables), "outcomes", "prediction.label.by")
    assert found.severity == "warning"
    assert "`outcomes.id` is such as 10000001" in found.seen
    assert "`jobs.id` is such as 1 /" in found.seen
    assert "evergreen check --rows 200000" in found.todo
    assert look(tables).label.labelled == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "seen"), [("late > 1000000", "is false in all"), ("late > -1000000", "is true in all")]
)
def test_a_label_of_one_class(value: str, seen: str) -> None:
    found = only(look(planted(), small(("value: late > 10", f"value: {value}"))), "outcomes", "prediction.label.value")
    assert found.severity == "error"
    assert seen in found.seen


def test_a_label_that_is_always_null() -> None:
    found = only(
        look(planted(), small(("value: late > 10", "value: 'nullif(late > 10, late > 10)'"))),
        "outcomes", "prediction.label.value",
    )  # fmt: skip
    assert (found.severity, "has no value in any of 1,200 rows" in found.seen) == ("error", True)


def test_labels_that_never_mature() -> None:
    params = small(OWN, ("known_at: due + interval 1 day}", "known_at: 'nullif(due, due)'}"))
    found = only(look(planted(), params), "jobs", "label")
    assert found.severity == "error"
    assert "`prediction.label.known_at` (nullif(due, due)) has no value in 1,200 of 1,200 rows" in found.seen

    params = small(OWN, ("known_at: due + interval 1 day}", "known_at: timestamp '9999-12-31'}"))
    found = only(look(planted(), params), "jobs", "label")
    assert found.severity == "error"
    assert "more than ten years ahead in 1,200 of 1,200 rows (100.00%), up to 9999-12-31T00:00Z" in found.seen


def test_a_label_that_is_known_before_the_prediction() -> None:
    params = small(("known_at: due + interval 1 day", "known_at: due - interval 1 day"))
    found = look(planted(), params)
    early = only(found, "outcomes", "label")
    assert early.severity == "warning"
    assert "known before the prediction is made in 1,200 of 1,200 rows" in early.seen
    assert "such as 2024-01-01T" in early.seen
    # And the view of that table, which would hand the model its own answers:
    view = only(found, "outcomes", "late")
    assert "`features.trailing.team_late_3d` sees the outcome of the row itself: 100% of the rows" in view.seen


def test_of_two_outcomes_of_one_row_the_last_is_the_label() -> None:
    tables = planted()
    late = tables["outcomes"].assign(late=99.0)
    tables["outcomes"] = pd.concat([tables["outcomes"].assign(late=0.0), late])
    found = look(tables)
    assert found.label is not None
    assert found.label.rate == 1.0


def test_the_end_of_the_sample_is_not_taken_for_rows_without_a_label() -> None:
    tables = planted()
    tables["outcomes"] = tables["outcomes"].head(600)
    found = look(tables)
    assert found.label is not None
    assert (found.label.labelled, found.label.share) == (600, 1.0)
    assert about(found, "jobs", "size") == []


def test_a_table_without_rows_leaves_the_label_out() -> None:
    found = look({"jobs": planted()["jobs"]})
    assert found.label is None
    assert found.tables[1].reason == "no file matches"
    assert found.findings == ()
