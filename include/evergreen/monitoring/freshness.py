"""Which tables lag behind: a table that stopped arriving does not stop scoring, but it is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evergreen.clock import format_time, naive
from evergreen.params.base import format_duration
from evergreen.params.tables import Table

if TYPE_CHECKING:
    import ibis.expr.types as ir


def newest_known(tables: Mapping[str, ir.Table], names: Iterable[str]) -> dict[str, datetime | None]:
    """The last `_known_at` of each table (naive UTC); None where nothing is known."""
    import pandas as pd

    found: dict[str, datetime | None] = {}
    for name in names:
        newest = tables[name]["_known_at"].max().execute()
        found[name] = None if newest is None or pd.isna(newest) else pd.Timestamp(newest).to_pydatetime()
    return found


def late_tables(
    newest: Mapping[str, datetime | None], declared: Mapping[str, Table], as_of: datetime
) -> dict[str, str]:
    """Table: how late, for each whose newest row lies further behind `as_of` than its `freshness`."""
    late: dict[str, str] = {}
    for name, moment in newest.items():
        limit = declared[name].freshness
        if limit is None:
            continue
        if moment is None:
            late[name] = f"nothing known by {format_time(as_of)}; allowed: {format_duration(limit)}"
        elif (behind := naive(as_of) - moment) > limit:
            late[name] = (
                f"newest row known at {moment:%Y-%m-%dT%H:%MZ}, {_rounded(behind)} before as_of; "
                f"allowed: {format_duration(limit)}"
            )
    return late


def known_later(ever: Mapping[str, ir.Table], as_of: datetime) -> dict[str, str]:
    """Table: how many of its rows are known only after `as_of`, and when the last of them is.

    That is as it should be for what is announced ahead; a year that is far off is most likely wrong.
    """
    later: dict[str, str] = {}
    for name, table in ever.items():
        ahead = table.filter(table["_known_at"] > naive(as_of))
        found = ahead.aggregate(rows=ahead.count(), last=ahead["_known_at"].max()).to_pyarrow().to_pylist()[0]
        if found["rows"]:
            later[name] = f"{found['rows']} rows are known only later, the last at {found['last']:%Y-%m-%dT%H:%MZ}"
    return later


def _rounded(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours:.1f} hours" if hours < 72 else f"{hours / 24:.1f} days"
