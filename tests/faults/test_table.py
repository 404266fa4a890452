"""The table that `make drill` prints."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.drills import drill, table


def report(node: str, line: int = 1, **recorded: Any) -> pytest.TestReport:
    properties = list(recorded.items())
    place = ("tests/faults/test_full_disk.py", line, node)
    return pytest.TestReport(f"{place[0]}::{node}", place, {}, "passed", None, "call", user_properties=properties)


def test_a_drill_is_a_row_and_its_columns_are_aligned() -> None:
    measured = report("a", drill="kill -9 of dvc", outcome="the same bytes", undisturbed=16.84, disturbed=30)
    rows = [drill(report("b", 9, drill="a full disk", outcome="a | b"), "passed"), drill(measured, "passed")]
    assert table(row for row in rows if row) == [
        "| drill     | what was done  | outcome        | undisturbed s | disturbed s | result |",
        "| --------- | -------------- | -------------- | ------------- | ----------- | ------ |",
        "| full disk | kill -9 of dvc | the same bytes | 16.8          | 30          | passed |",
        "| full disk | a full disk    | a / b          |               |             | passed |",
    ]


def test_what_is_no_drill_is_left_out_unless_it_fails() -> None:
    assert drill(report("a"), "passed") is None
    failed = drill(report("a[b]"), "error")
    assert failed is not None
    assert (failed.done, failed.result) == ("a[b]", "error")


def test_a_failed_drill_claims_no_outcome() -> None:
    failed = drill(report("a", drill="a full disk", outcome="it was said"), "failed")
    assert failed is not None
    assert failed.outcome == ""
