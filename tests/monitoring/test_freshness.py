from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from evergreen.monitoring.freshness import late_tables
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
