"""Declared and seen: names, types, and the values that would have a file refused."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from evergreen.errors import SourceError
from evergreen.inspection.convert import convert
from evergreen.inspection.records import Inspection
from evergreen.inspection.report import print_report
from evergreen.lake.schema import arrow_schema
from tests.inspection.planted import about, look, only, planted, small
from tests.sources.drops import read_one


def test_tables_that_are_as_declared_give_no_finding() -> None:
    found = look(planted())
    assert found.findings == ()
    jobs = found.tables[0]
    assert [(c.name, c.role, c.declared, c.seen) for c in jobs.columns] == [
        ("id", "key", "int64", "int64"), ("due", "column", "timestamp", "timestamp"),
        ("team", "column", "category", "text"), ("size", "column", "float64", "float64"),
    ]  # fmt: skip
    assert jobs.rows == 1200
    assert jobs.columns[2].values == 3
    assert found.label is not None
    assert (found.label.rows, found.label.labelled, found.label.share) == (1200, 1200, 1.0)
    assert found.label.hours == 25  # an hour before it is due to a day after


def test_text_among_numbers_is_counted_shown_and_can_be_a_null_value() -> None:
    tables = planted()
    sizes = tables["jobs"]["size"].astype("object").astype(str)
    tables["jobs"]["size"] = sizes.where(np.arange(len(sizes)) % 100 != 0, "NA")
    found = only(look(tables), "jobs", "size")
    assert found.severity == "error"
    assert "Declared float64, seen text: 12 of 1,200 values do not convert, such as `NA`." in found.seen
    assert 'tables.jobs.source.null_values: ["", "NA"]' in found.todo


def test_many_texts_where_a_number_is_declared_are_no_null_value() -> None:
    tables = planted()
    tables["jobs"]["size"] = [f"{number} kg" for number in range(1200)]
    found = only(look(tables), "jobs", "size")
    assert "1,200 of 1,200" in found.seen
    assert "Declare it string" in found.todo


@pytest.mark.parametrize(
    ("values", "severity", "todo"),
    [
        ([1.5, 2.0], "error", "Declare it float64"),
        ([1.0, 2.0], "warning", "Declare it float64"),
        (["1.5", "2"], "error", "Declare it float64"),
        (["1", "2"], None, ""),
    ],
)
def test_fractions_where_whole_numbers_are_declared(values: list[object], severity: str | None, todo: str) -> None:
    tables = planted()
    tables["jobs"]["size"] = values * 600
    found = about(look(tables, small(("size: {type: float64", "size: {type: int64"))), "jobs", "size")
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(todo in one.todo for one in found)


BIG, LONG = 2**53 + 1, Decimal("1234567890123456789")
MOMENTS = [datetime(2024, 1, 1, 10), datetime(2024, 1, 2)]


@pytest.mark.parametrize(
    ("values", "type_", "todo"),
    [
        (pa.array([1.0, 2.0, None]), "int64", None),
        (pa.array([1, 2], pa.int8()), "category", None),
        (pa.array([BIG - 1, None]), "float64", None),
        (pa.array(MOMENTS[1:], pa.timestamp("ns", "Europe/Berlin")), "timestamp", None),
        (pa.array([1.0, 2.5]), "int64", "Declare it float64."),
        (pa.array([1.0, 2.0]), "category", "Declare it float64."),
        (pa.array([True, None]), "int64", "Declare it bool."),
        (pa.array([True, False]), "category", "Declare it bool."),
        (pa.array([0, 1]), "bool", "Declare it int64."),
        (pa.array(MOMENTS), "string", "Declare it timestamp."),
        (pa.array(MOMENTS[1:], pa.timestamp("us", "UTC")), "date", "Declare it timestamp; a derived column"),
        (pa.array([1, BIG]), "float64", "Declare it int64."),
        (pa.array([LONG + Decimal("0.5"), None]), "float64", "Mend the source"),
        (pa.array([LONG]), "float64", "Declare it int64."),
        (pa.array(["1", "2"]), "int64", "Declare it string; a derived column"),
        (pa.array(["2024-01-01T00:00:00Z"]), "timestamp", "Declare it string; a derived column"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)  # fmt: skip
def test_of_parquet_just_that_is_an_error_which_an_ingest_refuses(
    tmp_path: Path, values: pa.Array, type_: str, todo: str | None
) -> None:
    columns = {"size: {type: float64, between: [0, 1000]}": f"size: {{type: {type_}}}", "kind: csv": "kind: parquet"}
    params, table = small(*columns.items()), pa.table({"size": values})
    pq.write_table(table, tmp_path / "drop.parquet")
    try:
        read_one(tmp_path, "parquet", arrow_schema({"size": params.tables["jobs"].columns["size"]}))
        refused = False
    except SourceError:
        refused = True
    found = about(look({"jobs": table}, params), "jobs", "size", loud=True)
    assert refused == (todo is not None) == ([one.severity for one in found] == ["error"])
    assert all(str(todo) in one.todo for one in found)


def test_times_without_a_zone_and_of_another_form() -> None:
    tables = planted()
    tables["jobs"]["due"] = tables["jobs"]["due"].dt.tz_localize(None)
    found = only(look(tables), "jobs", "due")
    assert found.severity == "note"
    assert "read as UTC" in found.seen
    assert "timezone('UTC', timezone('America/New_York', due))" in found.todo

    tables["jobs"]["due"] = tables["jobs"]["due"].dt.strftime("%d.%m.%Y %H:%M")
    found = about(look(tables), "jobs", "due")[0]
    assert "seen text: 1,200 of 1,200" in found.seen
    assert "source.date_formats: {due: '%d.%m.%Y %H:%M'}" in found.todo

    tables["jobs"]["due"] = range(1704100000, 1704101200)
    found = about(look(tables), "jobs", "due")[0]
    assert "seen int64" in found.seen
    assert "make_timestamp(due * 1000000)" in found.todo


def test_a_column_that_is_missing_is_named_with_the_nearest_of_the_source() -> None:
    tables = planted()
    tables["jobs"] = tables["jobs"].rename(columns={"size": "Sizes"})
    found = look(tables)
    missing = only(found, "jobs", "size")
    assert missing.severity == "error"
    assert "Did you mean `Sizes`?" in missing.seen
    assert "not declared, so not read: `Sizes`" in only(found, "jobs", None).seen
    assert [(c.name, c.seen, c.declared) for c in found.tables[0].columns][3:] == [
        ("size", None, "float64"), ("Sizes", "float64", None),
    ]  # fmt: skip


def test_a_column_that_is_there_twice() -> None:
    jobs = pa.Table.from_pandas(planted()["jobs"], preserve_index=False)
    found = only(look({"jobs": jobs.append_column("size", jobs["size"])}), "jobs", "size")
    assert (found.severity, "2 columns of this name" in found.seen) == ("error", True)


def test_a_category_that_hardly_repeats() -> None:
    tables = planted(60)
    tables["jobs"]["team"] = [f"team {number % 1500}" for number in range(2400)]
    params = small(("team: {type: category, in: [red, green, blue]}", "team: {type: category}"))
    found = only(look(tables, params), "jobs", "team")
    assert (found.severity, "1,500 different values" in found.seen) == ("warning", True)


def test_an_empty_column_and_derived_ones_are_shown() -> None:
    tables = planted()
    tables["jobs"]["size"] = pa.nulls(1200).to_pandas()
    params = small(
        ("known_at: due - interval 2 days", 'known_at: due - interval 2 days\n    derived: {day: "cast(due as date)"}')
    )
    found = look(tables, params)
    assert "No row of the sample has a value" in only(found, "jobs", "size").seen
    day = found.tables[0].columns[-1]
    assert (day.name, day.role, day.values) == ("day", "derived", 31)
    assert day.examples[0] == "2024-01-02"


@pytest.mark.parametrize(
    ("values", "type_", "lost"),
    [
        (["1", "+2", "-3", " 4", "5.0", "x", None], "int64", 3),
        (["1e3", "-2.5", ".5", "1,5", None], "float64", 1),
        (["true", "False", "0", "1", "maybe"], "bool", 1),
        (["2024-01-31T10:00:00Z", "2024-01-31 10:00", "2024-01-31T10:00+02:00", "31.01.2024"], "timestamp", 1),
        (["2024-01-31", "2024-02-30"], "date", 1),
        ([1, 0, 1], "bool", 0),
        ([1, 2], "bool", 1),
        ([1.0, float("nan"), 2.5], "int64", 1),
        ([True, None], "float64", 0),
        ([1, 2], "category", 0),
        ([pd.Timestamp("2024-01-01 10:00"), pd.Timestamp("2024-01-02")], "date", 1),
        ([b"\xff"], "string", 1),
    ],
)
def test_what_converts_and_what_is_lost(values: list[object], type_: str, lost: int) -> None:
    found = convert(pa.chunked_array([pa.array(values)]), type_)  # type: ignore[arg-type]
    assert int(found.bad.sum()) == lost


def test_moments_with_an_offset_are_utc() -> None:
    found = convert(pa.chunked_array([["2024-01-31T10:00+02:00"]]), "timestamp")
    assert str(found.values[0].as_py()) == "2024-01-31 08:00:00"


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1], [2]] * 600), pa.array([{"a": 1}] * 1200), pa.array([b"x", b"\xff"] * 600),
        pa.array(["x", "y"] * 600, pa.large_string()), pa.array(["x", None] * 600).dictionary_encode(),
        pa.array([Decimal("1.50"), None] * 600), pa.array([time(6), time(7)] * 600), pa.array([timedelta(1)] * 1200),
        pa.array([0, 2**40] * 600, pa.timestamp("ns", "Europe/Berlin")), pa.array([datetime.min] * 1200),
        pa.array([float("inf"), float("nan")] * 600), pa.array([2**63] * 1200, pa.uint64()),
    ],
    ids=lambda values: str(values.type),
)  # fmt: skip
@pytest.mark.parametrize("column", ["id", "due", "size", "new"])
def test_whatever_type_a_source_has_is_shown(values: pa.Array, column: str) -> None:
    """Declared as whole number, moment, number, or not at all: never an error of our own."""
    jobs = planted()["jobs"]
    jobs[column] = range(1200)
    table = pa.Table.from_pandas(jobs, preserve_index=False)
    table = table.set_column(table.column_names.index(column), column, values)
    found = look({"jobs": table, "outcomes": planted()["outcomes"]})
    shown = next(one for one in found.tables[0].columns if one.name == column)
    assert shown.seen
    assert Inspection.model_validate_json(found.model_dump_json()) == found
    page = StringIO()
    print_report(found, Console(file=page, width=100))
    assert column in page.getvalue()
