"""Rows that share a key: repeats, corrections, or a key that lacks a column."""

from __future__ import annotations

import pandas as pd

from tests.inspection.planted import look, only, planted, small


def test_equal_rows_are_harmless() -> None:
    tables = planted()
    tables["jobs"] = pd.concat([tables["jobs"], tables["jobs"].head(5)])
    found = only(look(tables), "jobs", "id")
    assert found.severity == "note"
    assert "5 keys come more than once, with equal rows" in found.seen


def test_a_few_differing_rows_are_corrections_with_an_example() -> None:
    tables = planted()
    tables["jobs"] = pd.concat([tables["jobs"], tables["jobs"].head(3).assign(size=1.5)])
    found = only(look(tables), "jobs", "id")
    assert found.severity == "note"
    assert "3 of 1,200 keys have rows that differ, such as id=1: size " in found.seen
    assert "→ 1.5" in found.seen
    assert "the `as_of` of the ingest that brings it" in found.todo


def test_many_differing_rows_are_a_wrong_key_and_the_column_that_it_lacks_is_named() -> None:
    tables = planted()
    tables["jobs"] = pd.concat([tables["jobs"], tables["jobs"].assign(due=lambda one: one["due"] + pd.Timedelta("1h"))])
    found = only(look(tables), "jobs", "id")
    assert found.severity == "warning"
    assert "`key: [id, due]` is unique here" in found.todo

    dated = small(
        (
            "key: [id]\n    known_at: due - interval 2 days",
            "key: [id]\n    known_at: due - interval 2 days\n    changed_at: due",
        )
    )
    found = only(look(tables, dated), "jobs", "id")
    assert (found.severity, "`changed_at` (due)" in found.todo) == ("note", True)


def test_a_key_with_nulls_is_compared_too() -> None:
    tables = planted()
    tables["jobs"]["id"] = tables["jobs"]["id"].astype("Int64").mask(tables["jobs"]["id"] <= 2)
    found = [one.seen for one in look(tables).findings if one.column == "id"]
    assert any("2 of 1,200 rows (0.17%) break the contract, never null (key)" in text for text in found)
