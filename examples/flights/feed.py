"""Feeds the flights of 2013 as dated CSV drops, each row on the day on which the world came to know it.

    python examples/flights/feed.py --until 2013-04-01             # weekly drops from 31 December 2012 on
    python examples/flights/feed.py --until 2013-04-01 --every 1d  # daily ones

A drop named `arrivals-2013-01-07.csv` holds what became known after the drop before it and up to the start of
7 January in New York; the first drop of a table also holds everything older. Drops lie on a fixed calendar, so
feeding again, or in smaller steps, writes the same files with the same bytes. In params.yaml only the planes are read
from drops; the other tables have sources of other kinds, fed by world.py. `with_drops` reads all of them from drops.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

from evergreen.files import publish
from evergreen.params import Params
from evergreen.project import Project
from shipped import LONG_AGO, START, TABLES, count, local_midnight, moment, tables

WEEK = timedelta(days=7)


def feed(
    to: Path, until: datetime, every: timedelta = WEEK, since: date = START, of: Iterable[str] = TABLES
) -> list[Path]:
    """Write the drops dated up to `until` into the folder `to`; return those that were not there as they are now.

    `every` is a number of whole days. The first drop is dated `since` and holds all that was known before.
    """
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for table in of:
        after = LONG_AGO
        for day in drop_days(since, until, every):
            midnight = local_midnight(day)
            written += _drop(to / f"{table}-{day}.csv", table, after, midnight)
            after = midnight
    return written


def drop_days(since: date, until: datetime, every: timedelta) -> Iterator[date]:
    """The dates of the drops: `since` and every so many days after it, up to the local start of a day <= `until`."""
    day = since
    while local_midnight(day) <= until:
        yield day
        day += every


def drops_folder(project: Project) -> Path:
    """The folder of the drops."""
    return project.root / Path(project.params.tables["planes"].source["path"]).parent


def with_drops(project: Project) -> Project:
    """The same project with every table read from drops: no server is needed, and the lake ends with the same rows."""
    folder = Path(project.params.tables["planes"].source["path"]).parent
    tree = project.params.model_dump(mode="json", by_alias=True)
    for table, spec in tree["tables"].items():
        spec["source"] = {"kind": "csv", "path": str(folder / f"{table}-*.csv")}
    return replace(project, params=Params.model_validate(tree | {"services": {}}))


def _drop(path: Path, table: str, after: datetime, until: datetime) -> list[Path]:
    """Write one drop by rename; nothing where no row became known, or where the file is there with these bytes."""
    columns, _, _, key = TABLES[table]
    if count(table, after, until) == 0:
        return []
    temporary = path.with_name(f".{path.name}.part")
    tables().execute(
        f"COPY (SELECT {columns} FROM {table} WHERE known_at > {moment(after)} AND known_at <= {moment(until)} "
        f"ORDER BY known_at, {key}) TO '{str(temporary).replace(chr(39), chr(39) * 2)}' "
        "(FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ')"
    )
    if path.exists() and path.read_bytes() == temporary.read_bytes():
        temporary.unlink()
        return []
    publish(temporary, path)
    return [path]


def _days(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9]\d*)d", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of days; write for example 7d")
    return timedelta(days=int(match[1]))


def main() -> None:
    """Feed from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--until", type=date.fromisoformat, required=True, help="the last possible date of a drop")
    parser.add_argument("--since", type=date.fromisoformat, default=START, help=f"the first drop's date ({START})")
    parser.add_argument("--every", type=_days, default=WEEK, help="days between two drops (7d)")
    parser.add_argument("--to", type=Path, help="the folder of the drops (that of params.yaml)")
    given = parser.parse_args()
    to = given.to or drops_folder(Project.load(Path(__file__).parents[2]))
    written = feed(to, local_midnight(given.until), given.every, given.since)
    print(f"{len(written)} new drops in {to}")


if __name__ == "__main__":
    main()
