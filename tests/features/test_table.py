"""The feature table as a whole: rows, labels, and that nothing learnt later moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from evergreen.errors import ParamsError
from evergreen.features.check import check_expressions
from evergreen.features.engine import connect
from evergreen.features.labels import LABEL, labels_table
from evergreen.features.table import feature_table
from evergreen.params import load_params_text
from tests.features.reference import Event, minute
from tests.features.worlds import asks, load, observed, params, world

VIEWS = params(
    "  row: {twice: extra * 2, who: who, sum_and_one: sum5 + 1, big: extra > 3}\n"
    "  latest: {now: {table: events, by: [who], columns: {value_now: value}, max_age: 5 minutes}}\n"
    "  trailing:\n"
    "    sum5: {table: events, by: [who], sum: value, over: 5 minutes}\n"
    "    min5: {table: events, by: [who], min: value, over: 5 minutes}\n"
    "    change5: {table: events, by: [who], change: value, over: 5 minutes}\n"
    "  categorical: [who]\n"
    "  helpers: [sum5]\n"
)
QUESTIONS = [(at, "a") for at in range(3, 20)]
EVENTS = [Event(i, 1, i, "a", float(i % 4)) for i in range(12)]


def table_of(asked: pa.Table, events: list[Event], **span: datetime) -> pa.Table:
    return feature_table(world(asked, events), VIEWS, **span).to_pyarrow()


def test_columns_types_and_order() -> None:
    table = table_of(asks([(9, "b"), (5, "a"), (5, "a")]), EVENTS)
    features = ["twice", "who", "sum_and_one", "big", "value_now", "min5", "change5"]
    assert table.column_names == ["_key", "_time", *features, *LABEL]
    assert VIEWS.features.names() == features
    assert table.schema.field("who").type == pa.string()
    assert all(table.schema.field(name).type == pa.float64() for name in features if name != "who")
    assert table["_key"].to_pylist() == ["1", "2", "0"]
    assert table["big"].to_pylist() == [1.0, 1.0, 1.0]
    assert table["sum_and_one"].to_pylist() == [1 + 1 + 2 + 3 + 0 + 1, 8, None]


def test_a_late_correction_and_a_future_row_move_nothing_earlier() -> None:
    asked = asks(QUESTIONS)
    before = table_of(asked, EVENTS, until=aware(11)).drop(LABEL)
    later = [Event(5, 2, 12, "a", 100.0), Event(7, 2, 12, "b", 3.0), Event(99, 1, 12, "a", 50.0)]
    assert table_of(asked, EVENTS + later, until=aware(11)).drop(LABEL).equals(before)
    after = table_of(asked, EVENTS + later).drop(LABEL)
    assert after.slice(0, before.num_rows).equals(before)
    assert not after.equals(table_of(asked, EVENTS).drop(LABEL))


def test_rows_are_predicted_once_in_the_version_known_at_their_moment() -> None:
    rows = [
        # id, at, known, version, extra
        (0, 10, 1, 1, 1.0), (0, 10, 5, 2, 2.0), (0, 10, 12, 3, 3.0),  # corrected before and after: the second
        (1, 10, 1, 1, 1.0), (1, 15, 11, 2, 2.0),  # moved after it was predicted: stays with the first
        (2, 10, 1, 1, 1.0), (2, 15, 9, 2, 2.0),  # moved before: predicted at its new moment
        (3, 10, 11, 1, 1.0),  # known too late
        (4, None, 1, 1, 1.0),  # no moment
    ]  # fmt: skip
    moments = [None if at is None else minute(at) for _, at, *_ in rows]
    asked = pa.table(
        {
            "id": pa.array([row[0] for row in rows], pa.int64()),
            "at": pa.array(moments, pa.timestamp("us")),
            "who": pa.array(["a"] * len(rows)),
            "extra": pa.array([row[4] for row in rows]),
            "_known_at": pa.array([minute(row[2]) for row in rows], pa.timestamp("us")),
            "_version": pa.array([row[3] for row in rows], pa.int64()),
        }
    )
    table = table_of(asked, EVENTS)
    found = zip(table["_key"].to_pylist(), table["_time"].to_pylist(), table["twice"].to_pylist(), strict=True)
    assert list(found) == [("0", minute(10), 4.0), ("1", minute(10), 2.0), ("2", minute(15), 4.0)]


def test_a_label_is_that_of_the_newest_version_known() -> None:
    asked = asks([(3, "a")] * 4)
    events = [
        Event(0, 1, 5, "a", 2.0), Event(0, 2, 8, "a", 0.0),  # corrected to false
        Event(1, 1, 6, "a", 2.0), Event(2, 1, 6, "a", 2.0), Event(2, 2, 7, "a", None),  # no label after all
    ]  # fmt: skip
    table = table_of(asked, events)
    assert table["_label"].to_pylist() == [0.0, 1.0, None, None]
    assert table["_label_known_at"].to_pylist() == [minute(8), minute(6), None, None]
    labels = labels_table(world(asked, events), VIEWS).order_by("_key").to_pyarrow()
    assert labels.to_pylist() == [
        {"_key": "0", "_label": 0.0, "_label_known_at": minute(8), "_label_first_known_at": minute(5)},
        {"_key": "1", "_label": 1.0, "_label_known_at": minute(6), "_label_first_known_at": minute(6)},
    ]


def test_versions_that_repeat_the_label_do_not_make_it_new() -> None:
    histories = [
        [2.0, 3.0, 4.0],  # other values, the same label: known with the first
        [2.0, 0.0, 0.5],  # changed once
        [2.0, 0.0, 2.0],  # changed and changed back: known anew
        [None, 2.0, 3.0],  # known with the second
        [2.0, None, 2.0],  # taken back for a while
        [2.0, 2.0, None],  # taken back for good
        [None, None, 0.0],
    ]
    events = [
        Event(i, version, 10 * version, "a", value)
        for i, values in enumerate(histories)
        for version, value in enumerate(values, 1)
    ]
    table = table_of(asks([(3, "a")] * len(histories)), events)
    assert table["_label"].to_pylist() == [1, 0, 1, 1, 1, None, 0]
    known, first = [10, 20, 30, 20, 30, None, 30], [10, 10, 10, 20, 10, None, 30]
    assert table["_label_known_at"].to_pylist() == [at and minute(at) for at in known]
    assert table["_label_first_known_at"].to_pylist() == [at and minute(at) for at in first]


ONE_TABLE = """
name: hires
tables:
  hours:
    source: {kind: csv, path: x}
    key: [station id, hour]
    known_at: hour - interval 1 hour
    columns: {station id: {type: string}, hour: {type: timestamp}, "hires $": {type: int64}}
prediction: {rows: hours, at: hour, label: {value: '"hires $" > 2', known_at: hour + interval 1 hour}}
features:
  trailing:
    busy: {table: hours, by: [station id], sum: '"hires $"', over: 3 hours, known_at: hour + interval 1 hour}
training: {estimator: logistic}
"""


def test_one_table_with_its_own_label_and_symbols_in_names() -> None:
    hours = [datetime(2024, 3, 1, hour) for hour in range(6)]
    table = pa.table(
        {
            "station id": ["a|b"] * 6,
            "hour": pa.array(hours, pa.timestamp("us")),
            "hires $": pa.array([1, 2, 3, 4, 5, 6], pa.int64()),
            "_known_at": pa.array([hour - timedelta(hours=1) for hour in hours], pa.timestamp("us")),
            "_version": pa.array([1] * 6, pa.int64()),
        }
    )
    one = load_params_text(ONE_TABLE)
    now = datetime(2024, 3, 1, 4, tzinfo=UTC)
    tables = load({"hours": table}, connect())
    made = feature_table(tables, one, until=now, known_until=now).to_pyarrow()
    assert made["_key"][0].as_py() == "a\\|b|2024-03-01 00:00:00"
    assert made["busy"].to_pylist() == [None, 1, 1 + 2, 1 + 2 + 3, 2 + 3 + 4]
    assert made["_label"].to_pylist() == [0, 0, 1, 1, None]  # the last hour is not over
    assert made["_label_known_at"].to_pylist() == made["_label_first_known_at"].to_pylist() == [*hours[1:5], None]


def test_a_label_of_the_rows_own_table_is_known_when_it_says_so() -> None:
    """Versions as (hour they are known, hires, hours until the label is)."""
    histories = [
        [(0, 5, 4), (6, 6, 4)],  # repeated after it was known: known at 4
        [(0, 5, 4), (2, 6, 4)],  # repeated before
        [(0, 5, 4), (2, 5, 8)],  # put off before it was known: known at 8
        [(0, 5, 4), (6, 5, 8)],  # put off when it was known already: known at 4
        [(0, 5, 4), (2, 1, 4)],  # changed before it was known: the first value never counted
        [(0, 5, 4), (6, 1, 4)],  # changed after: first known at 4, this value at 6
        [(0, 5, 4), (6, 5, None)],  # not known after all
        [(0, 5, None), (6, 5, 4)],  # known with the second
    ]
    rows = [
        {
            "id": i, "hires": hires, "due": None if due is None else at_hour(due), "at": at_hour(1),
            "_known_at": at_hour(known), "_version": version,
        }
        for i, history in enumerate(histories) for version, (known, hires, due) in enumerate(history, 1)
    ]  # fmt: skip
    moment = pa.timestamp("us")
    types = {"id": pa.int64(), "hires": pa.int64(), "due": moment, "at": moment, "_known_at": moment}
    table = pa.Table.from_pylist(rows, pa.schema(types | {"_version": pa.int64()}))
    made = feature_table(load({"hires": table}, connect()), load_params_text(OWN_LABEL)).to_pyarrow()
    assert made["_label"].to_pylist() == [1, 1, 1, 1, 0, 0, None, 1]
    known, first = [4, 4, 8, 4, 4, 6, None, 6], [4, 4, 8, 4, 4, 4, None, 6]
    assert made["_label_known_at"].to_pylist() == [at and at_hour(at) for at in known]
    assert made["_label_first_known_at"].to_pylist() == [at and at_hour(at) for at in first]


OWN_LABEL = """
name: hires
tables:
  hires:
    source: {kind: csv, path: x}
    key: [id]
    known_at: at - interval 1 hour
    columns: {id: {type: int64}, hires: {type: int64}, due: {type: timestamp}, at: {type: timestamp}}
prediction: {rows: hires, at: at, label: {value: hires > 2, known_at: due}}
features: {row: {id: id}}
training: {estimator: logistic}
"""


def at_hour(hour: int) -> datetime:
    return datetime(2024, 3, 1, hour)


def test_latest_is_pandas_merge_asof() -> None:
    random = np.random.default_rng(0)
    events = [
        Event(i, 1, int(at), str(random.choice(["a", "b"])), i / 4)
        for i, at in enumerate(random.permutation(500)[:200])
    ]
    questions = [(int(at), str(random.choice(["a", "b"]))) for at in random.integers(0, 500, 300)]
    features = params("  latest: {now: {table: events, by: [who], columns: {seen: value}, max_age: 5 minutes}}\n")
    table = feature_table(world(asks(questions), events), features).to_pyarrow().to_pandas()
    left, right = asks(questions).to_pandas(), observed(events).to_pandas()[["_known_at", "who", "value"]]
    merged = pd.merge_asof(
        left.drop(columns="_known_at").sort_values("at"), right.sort_values("_known_at"),
        left_on="at", right_on="_known_at", by="who", tolerance=pd.Timedelta("5min"),
    ).set_index("id")  # fmt: skip
    found = table.assign(id=table["_key"].astype("int64")).set_index("id")["seen"]
    assert found.isna().any()
    pd.testing.assert_series_equal(found.sort_index(), merged["value"].sort_index(), check_names=False)


def test_all_columns_of_latest_come_from_one_observation() -> None:
    features = params("  latest: {now: {table: events, by: [who], columns: {seen: value, event: id}}}\n")
    events = [Event(1, 1, 2, "a", 1.0), Event(2, 1, 3, "a", None), Event(3, 1, 3, "a", None)]
    row = feature_table(world(asks([(5, "a")]), events), features).to_pyarrow().to_pylist()[0]
    assert (row["seen"], row["event"]) == (None, 3.0)


def test_no_rows_give_an_empty_table_of_the_same_columns() -> None:
    empty = table_of(asks([]), [])
    assert empty.num_rows == 0
    assert empty.schema.equals(table_of(asks(QUESTIONS), EVENTS).schema)


def test_a_time_is_seconds_since_1970_and_must_be_said_to_be_one() -> None:
    text = "  row: {asked: at, since: epoch(at), who: who}\n  categorical: [who]\n"
    calendar = "preprocess: {calendar: {asked: {parts: [hour]}}}\n"
    timed = params(text + "  times: [asked]\n" + calendar)
    check_expressions(timed)
    table = feature_table(world(asks(QUESTIONS), EVENTS), timed).to_pyarrow()
    assert table.schema.field("asked").type == pa.float64()
    assert table["asked"].to_pylist() == [aware(at).timestamp() for at, _ in QUESTIONS] == table["since"].to_pylist()
    for check in (check_expressions, lambda plain: feature_table(world(asks(QUESTIONS), EVENTS), plain)):
        with pytest.raises(ParamsError, match=r"`asked` is .* or a moment under features\.times"):
            check(params(text))


def test_a_feature_that_cannot_be_computed_is_named() -> None:
    wrong = params("  latest: {now: {table: events, by: [who], columns: {seen: value + hour(who)}}}\n")
    with pytest.raises(ParamsError, match=r"features\.latest\.now\.seen: `value \+ hour\(who\)` cannot be computed"):
        feature_table(world(asks(QUESTIONS), EVENTS), wrong)


def aware(number: int) -> datetime:
    return minute(number).replace(tzinfo=UTC)
