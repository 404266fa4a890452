from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evergreen.params.tables import Table
from evergreen.quality import suite
from evergreen.quality.contract import Rule, rules_of
from evergreen.quality.frame import to_frame


def broken(values: pa.Array, **column: Any) -> dict[str, list[int]]:
    """Which rows of one column break which kind of rule."""
    name = "Größe in $ (%)"
    table = Table.model_validate(
        {
            "source": {"kind": "csv"},
            "key": ["id"],
            "known_at": "timestamp '2013-01-01'",
            "columns": {"id": {"type": "int64"}, name: column},
        }
    )
    rules = [rule for rule in rules_of("jobs", table, "UTC") if rule.column == name and rule.kind != "unique"]
    data = pa.table({"id": range(len(values)), name: pa.chunked_array([values])})
    found, _ = suite.find_broken(to_frame(data, table, rules), rules, [name] * len(rules))
    return {rule.kind: numbers.tolist() for rule, numbers in zip(rules, found, strict=True)}


def test_range() -> None:
    values = pa.array([-1.0, 0.0, None, 1000.0, 1000.5, float("inf")])
    assert broken(values, type="float64", between=[0, 1000], nulls="never") == {"nulls": [2], "between": [0, 4, 5]}


def test_range_of_integers_with_and_without_nulls() -> None:
    assert broken(pa.array([1, None, 30]), type="int64", between=[0, 23]) == {"between": [2]}
    assert broken(pa.array([1, 2, 30]), type="int64", between=[0, 23]) == {"between": [2]}


def test_large_integers_in_a_set_are_told_apart() -> None:
    assert broken(pa.array([2**53, 2**53 + 1, None]), type="int64", **{"in": [2**53]}) == {"in": [1]}


def test_set_and_pattern_of_text() -> None:
    values = pa.array(["red", "xred", None, "redder", ""])
    found = broken(values, type="category", **{"in": ["red", "redder"]}, matches="(red)")
    assert found == {"in": [1, 4], "matches": [1, 4]}


@pytest.mark.parametrize(
    ("type_", "values", "allowed"),
    [
        ("bool", pa.array([True, False, None]), ["true"]),
        ("date", pa.array([0, 1, None], pa.date32()), ["1970-01-01"]),
        ("timestamp", pa.array([0, 1, None], pa.timestamp("us")), ["1970-01-01T00:00:00"]),
        ("float64", pa.array([0.5, 1.5, None]), ["0.5"]),
    ],
)
def test_sets_of_other_types(type_: str, values: pa.Array, allowed: list[str]) -> None:
    assert broken(values, type=type_, **{"in": allowed}, nulls="never") == {"nulls": [2], "in": [1]}


@pytest.mark.parametrize("type_", ["bool", "date", "timestamp", "string", "category", "int64", "float64"])
def test_nulls_of_every_type(type_: str) -> None:
    from evergreen.lake.schema import arrow_type

    values = pa.array([None, None], arrow_type(type_))
    assert broken(values, type=type_, nulls="never") == {"nulls": [0, 1]}


def test_far_dates_are_no_overflow() -> None:
    values = pa.array(["9999-12-31", None]).cast(pa.date32())
    assert broken(values, type="date", nulls="never") == {"nulls": [1]}


RULES = [Rule("nulls", "x", "error", "never null"), Rule("between", "x", "warning", "at most 1", options=(None, 1))]


def test_the_readable_result_is_the_same_each_time_and_names_the_rules() -> None:
    frame = pd.DataFrame({"x": [0.0, 2.0, np.nan]})
    texts = [json.dumps(suite.find_broken(frame, RULES, ["x", "x"])[1]) for _ in range(2)]
    assert texts[0] == texts[1]
    results = json.loads(texts[0])["results"]
    assert [one["expectation_config"]["meta"]["says"] for one in results] == ["x: never null", "x: at most 1"]
    assert [one["expectation_config"]["severity"] for one in results] == ["critical", "warning"]
    assert [one["result"]["unexpected_count"] for one in results] == [1, 1]


def test_an_expectation_that_gets_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import great_expectations as gx

    whole = gx.ExpectationSuite

    def lossy(name: str, expectations: list) -> Any:
        return whole(name=name, expectations=expectations[:-1])

    monkeypatch.setattr(gx, "ExpectationSuite", lossy)
    with pytest.raises(RuntimeError, match="2 rules became 1 expectations"):
        suite.find_broken(pd.DataFrame({"x": [0.0]}), RULES, ["x", "x"])


def test_an_expectation_that_fails_to_run_is_no_verdict() -> None:
    with pytest.raises(RuntimeError, match="Great Expectations failed"):
        suite.find_broken(pd.DataFrame({"y": [0.0]}), RULES, ["x", "x"])


def test_great_expectations_is_imported_by_the_function_that_needs_it() -> None:
    code = (
        "import sys, evergreen.stages.validate;"
        "print([m for m in ('great_expectations', 'pandas', 'pyarrow', 'duckdb', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
