from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from evergreen.clock import naive
from evergreen.features.engine import connect
from evergreen.monitoring.freshness import known_later, late_tables
from evergreen.params.tables import Table

AS_OF = datetime(2013, 12, 31, 12, tzinfo=UTC)


def table(freshness: str | None) -> Table:
    values: dict[str, Any] = {"source": {"kind": "csv"}, "key": ["id"], "known_at": "at", "freshness": freshness}
    return Table.model_validate({**values, "columns": {"id": {"type": "int64"}, "at": {"type": "timestamp"}}})


def test_the_day_without_weather() -> None:
    newest = {"weather": datetime(2013, 12, 31), "flights": datetime(2013, 1, 1), "arrivals": datetime(2013, 12, 31, 9)}
    declared = {"weather": table("3 hours"), "flights": table(None), "arrivals": table("3 hours")}

    assert late_tables(newest, declared, AS_OF) == {
        "weather": "newest row known at 2013-12-31T00:00Z, 12.0 hours before as_of; allowed: 3 hours"
    }


def test_a_table_that_never_arrived() -> None:
    assert late_tables({"x": None}, {"x": table("1 day")}, AS_OF) == {
        "x": "nothing known by 2013-12-31T12:00:00Z; allowed: 1 day"
    }


def test_long_delays_are_told_in_days() -> None:
    found = late_tables({"x": AS_OF.replace(tzinfo=None) - timedelta(days=9)}, {"x": table("1 day")}, AS_OF)

    assert "9.0 days before as_of" in found["x"]


def test_rows_that_are_known_only_later_are_counted_with_the_last_moment() -> None:
    con = connect()
    moments = [AS_OF, AS_OF + timedelta(hours=1), AS_OF.replace(year=2204)]
    con.con.register("jobs", pa.table({"_known_at": pa.array([naive(one) for one in moments], pa.timestamp("us"))}))
    ever = {"jobs": con.table("jobs")}

    assert known_later(ever, AS_OF) == {"jobs": "2 rows are known only later, the last at 2204-12-31T12:00Z"}
    assert known_later(ever, moments[-1]) == {}
