"""Where clocks change, windows are spans of real time, and local hours are what a clock on the wall says."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evergreen.features.engine import Sql, connect, evaluate
from evergreen.features.table import feature_table
from evergreen.params import load_params, load_params_text
from evergreen.registry.evidence import evidence_rows
from evergreen.training.splits import fold_of
from tests.conftest import ROOT, SMALL
from tests.features.worlds import load

PARAMS = """
name: asks
time_zone: America/New_York
tables:
  asks:
    source: {kind: csv, path: x}
    key: [id]
    known_at: at - interval 1 day
    columns: {id: {type: int64}, at: {type: timestamp}}
    derived: {of: id % 1}
  events:
    source: {kind: csv, path: x}
    key: [id]
    known_at: at
    columns: {id: {type: int64}, at: {type: timestamp}, of: {type: int64}, late: {type: bool}}
prediction: {rows: asks, at: at, label: {table: events, value: late}}
features:
  row: {hour: hour(local(at)), minute: minute(local(at)), weekday: isodow(local(at))}
  trailing:
    hour_before: {table: events, by: [of], count: id, over: 1 hour}
    day_before: {table: events, by: [of], count: id, over: 1 day}
    week_before: {table: events, by: [of], count: id, over: 7 days}
training: {estimator: logistic}
"""
HALF = timedelta(minutes=30)


def world(first: datetime, count: int) -> pd.DataFrame:
    """Features of asks every half hour, among events every half hour since eight days before."""
    asked = [first + number * HALF for number in range(count)]
    seen = [first - timedelta(days=8) + number * HALF for number in range(8 * 48 + count)]
    moment = pa.timestamp("us")
    asks = {
        "id": range(count), "at": pa.array(asked, moment), "of": [0] * count,
        "_known_at": pa.array([at - timedelta(days=1) for at in asked], moment), "_version": [1] * count,
    }  # fmt: skip
    events = {
        "id": range(10_000, 10_000 + len(seen)), "at": pa.array(seen, moment), "of": [0] * len(seen),
        "late": [True] * len(seen), "_known_at": pa.array(seen, moment), "_version": [1] * len(seen),
    }  # fmt: skip
    tables = load({"asks": pa.table(asks), "events": pa.table(events)}, connect())
    found: pd.DataFrame = feature_table(tables, load_params_text(PARAMS)).to_pyarrow().to_pandas()
    return found


@pytest.mark.parametrize(
    ("first", "hours"),
    [
        (datetime(2013, 11, 3, 4, 30), [0, 1, 1, 1, 1, 2]),  # from 00:30, in which 01:00 to 02:00 comes twice
        (datetime(2013, 3, 10, 5, 30), [0, 1, 1, 3, 3, 4]),  # there is no 02:00
    ],
)
def test_windows_count_real_time_and_local_hours_jump(first: datetime, hours: list[int]) -> None:
    found = world(first, 6)
    assert found["_time"].tolist() == [first + number * HALF for number in range(6)]
    assert found["hour"].tolist() == hours
    assert found["minute"].tolist() == [30, 0, 30, 0, 30, 0]
    assert set(found["weekday"]) == {7}
    assert set(found["hour_before"]) == {2}
    assert set(found["day_before"]) == {48}
    assert set(found["week_before"]) == {7 * 48}


def test_both_hours_of_that_night_are_one_gate_day_and_one_block() -> None:
    """Its day has 25 hours: from 04:00 to 05:00 of the next, in UTC."""
    times = pd.Series(pd.date_range("2013-11-03 03:30", periods=54, freq="30min")).astype("datetime64[us]")
    frame = pd.DataFrame({"_key": times.astype(str), "_time": times, "_label": 1.0})
    frame["_label_known_at"] = frame["_label_first_known_at"] = times
    rows = evidence_rows(frame, np.full(54, 0.5), None, "America/New_York")
    days = rows.column(rows.num_columns - 1).to_numpy()
    assert np.unique(days, return_counts=True)[1].tolist() == [1, 50, 3]
    params = load_params_text(SMALL.replace("min_labels: 50", "min_labels: 50, out_of_fold: {block: 1 day, folds: 2}"))
    assert np.flatnonzero(np.diff(fold_of(times, params))).tolist() == [0, 50]


def test_a_moment_made_of_local_time_is_never_before_the_true_one() -> None:
    """A file of local hours cannot say which of two it means: `timezone()` takes the later, so nothing is known early.

    The hour that is missing in March, where a file has it none the less, is the one that the clock then shows.
    """
    params = load_params(ROOT / "examples" / "bikeshare" / "params.yaml")
    hours = pa.table({"day": [310, 310, 310, 72, 72, 72], "hr": [0, 1, 2, 1, 2, 3]})
    starts = Sql(params.tables["hours"].derived["starts"], "tables.hours.derived.starts")
    made = evaluate(load({"hours": hours}, connect())["hours"], {"starts": starts}, params.time_zone)
    assert made["starts"].to_pyarrow().to_pylist() == [
        datetime(2011, 11, 6, 4), datetime(2011, 11, 6, 6), datetime(2011, 11, 6, 7),
        datetime(2011, 3, 13, 6), datetime(2011, 3, 13, 7), datetime(2011, 3, 13, 7),
    ]  # fmt: skip
