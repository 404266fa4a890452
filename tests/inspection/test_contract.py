"""Rows that break their contract, counted before anything is ingested."""

from __future__ import annotations

import pytest

from tests.inspection.planted import about, look, only, planted, small


@pytest.mark.parametrize(
    ("column", "value", "share", "severity", "seen"),
    [
        ("size", -1.0, 0.01, "note", "12 of 1,200 rows (1.00%) break the contract, between 0 and 1000, such as -1."),
        ("size", 1001.0, 0.2, "warning", "240 of 1,200 rows (20.00%)"),
        ("team", "pink", 0.01, "note", "one of red, green, blue, such as pink."),
        ("team", "pink", 0.5, "warning", "one of red, green, blue, such as pink."),
    ],
)
def test_broken_rows_are_counted_by_rule(column: str, value: object, share: float, severity: str, seen: str) -> None:
    tables = planted()
    tables["jobs"].loc[: int(1200 * share) - 1, column] = value
    found = only(look(tables), "jobs", column)
    assert found.severity == severity
    assert seen in found.seen
    assert ("A file like this is refused" in found.todo) == (severity == "warning")


def test_patterns_open_ranges_and_rules_that_only_warn() -> None:
    tables = planted()
    params = small(
        (
            "team: {type: category, in: [red, green, blue]}",
            'team: {type: category, matches: "[rg]", severity: warning}',
        ),
        ("size: {type: float64, between: [0, 1000]}", "size: {type: float64, between: [500, null], nulls: never}"),
    )
    found = look(tables, params)
    assert "matching [rg], such as blue" in only(found, "jobs", "team").seen
    assert only(found, "jobs", "team").todo == "Nothing: the rule only warns."
    assert "at least 500" in about(found, "jobs", "size")[0].seen


def test_a_critical_column_refuses_a_file_for_one_row() -> None:
    tables = planted()
    tables["jobs"]["id"] = tables["jobs"]["id"].astype("Int64").mask(tables["jobs"]["id"] == 7)
    found = only(look(tables), "jobs", "id")
    assert (found.severity, "a critical column" in found.todo) == ("warning", True)
