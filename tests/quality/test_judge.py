from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from evergreen.params.tables import Table
from evergreen.quality.contract import rules_of
from evergreen.quality.judge import Verdict, judge, reasons_of


def verdict(rows: int, failed: list[int], max_share: float = 0.05, **column: object) -> Verdict:
    """The verdict on a file of `rows` rows, of which `failed` break the range of `size`."""
    table = Table.model_validate(
        {
            "source": {"kind": "csv"}, "key": ["id"], "known_at": "timestamp '2013-01-01'",
            "quarantine": {"max_share": max_share},
            "columns": {"id": {"type": "int64"}, "size": {"type": "float64", "between": [0, 9], **column}},
        }
    )  # fmt: skip
    rules = rules_of("jobs", table, "UTC")
    data = pa.table({"id": range(rows), "size": [99.5 if i in failed else 1.0 for i in range(rows)]})
    return judge(data, table, rules, {1: np.array(failed, dtype=np.int64)})


def test_a_warning_is_counted_and_the_rows_stay() -> None:
    made = verdict(10, [1, 2, 3, 4], severity="warning")
    assert not made.bad.any()
    assert made.critical is None
    (failure,) = made.failures
    assert (failure.column, failure.rule, failure.severity, failure.count, failure.share) == (
        "size", "between", "warning", 4, 0.4,
    )  # fmt: skip
    assert failure.examples == ("99.5",)


def test_an_error_goes_to_quarantine() -> None:
    made = verdict(100, [3, 5])
    assert made.bad.nonzero()[0].tolist() == [3, 5]
    assert made.critical is None


@pytest.mark.parametrize(("failed", "fails"), [(5, False), (6, True)])
def test_more_than_the_largest_share_is_critical(failed: int, fails: bool) -> None:
    made = verdict(100, list(range(failed)))
    assert (made.critical is not None) == fails
    if fails:
        assert made.critical == (
            "expected at most 5% of the rows in quarantine; 6 of 100 rows (6%) came there: "
            "size: between 0 and 9 (6, such as 99.5)"
        )


def test_a_share_that_floats_cannot_hold_is_no_more_than_itself() -> None:
    assert verdict(100, list(range(7)), max_share=0.07).critical is None
    assert verdict(100, list(range(1)), severity="critical", mostly=0.99).critical is None


@pytest.mark.parametrize(
    ("rows", "failed", "max_share", "fails"),
    [(3, 1, 0.05, False), (3, 2, 0.05, True), (1, 1, 0.05, False), (3, 1, 0, True)],
)
def test_one_row_fails_no_file_unless_none_is_allowed(rows: int, failed: int, max_share: float, fails: bool) -> None:
    assert (verdict(rows, list(range(failed)), max_share).critical is not None) == fails


@pytest.mark.parametrize(("mostly", "fails"), [(1.0, True), (0.98, False), (0.985, True)])
def test_a_critical_rule_allows_what_mostly_leaves(mostly: float, fails: bool) -> None:
    made = verdict(100, [8, 9], severity="critical", mostly=mostly)
    assert made.bad.sum() == 2
    assert (made.critical is not None) == fails
    if fails:
        assert made.critical is not None
        assert made.critical.startswith("`size` expected between 0 and 9 in ")
        assert made.critical.endswith("2 of 100 rows (2%) broke it, such as 99.5")


def test_a_row_carries_every_rule_that_it_broke() -> None:
    table = Table.model_validate(
        {
            "source": {"kind": "csv"}, "key": ["id"], "known_at": "timestamp '2013-01-01'",
            "columns": {"id": {"type": "int64"}, "a": {"type": "float64", "between": [0, 1]},
                        "b": {"type": "float64", "nulls": "never", "severity": "warning"}},
        }
    )  # fmt: skip
    rules = rules_of("jobs", table, "UTC")
    broken = {1: np.array([0, 2]), 2: np.array([1, 2])}
    bad = np.array([True, False, True])
    assert reasons_of(rules, broken, bad) == ["a: between 0 and 1", "a: between 0 and 1; b: never null"]


def test_examples_are_different_values_and_for_a_missing_one_the_key() -> None:
    table = Table.model_validate(
        {
            "source": {"kind": "csv"}, "key": ["id"], "known_at": "timestamp '2013-01-01'",
            "columns": {"id": {"type": "int64"}, "a": {"type": "float64", "between": [0, 1], "nulls": "never"}},
            "quarantine": {"max_share": 1},
        }
    )  # fmt: skip
    rules = rules_of("jobs", table, "UTC")
    data = pa.table({"id": range(10, 16), "a": [7.0, 7.0, 8.0, 9.0, 10.0, None]})
    made = judge(data, table, rules, {1: np.array([5]), 2: np.arange(5)})
    assert [failure.examples for failure in made.failures] == [("id=15",), ("7.0", "8.0", "9.0")]
