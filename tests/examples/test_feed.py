from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from feed import feed
from shipped import local_midnight, package_data, shipped_counts

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "flights" / "feed.py"
EARLY = date(2013, 1, 21)


@pytest.fixture(scope="module")
def drops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weekly drops of the first half year."""
    folder = tmp_path_factory.mktemp("drops")
    feed(folder, local_midnight(date(2013, 7, 1)))
    return folder


@pytest.fixture(scope="module")
def shipped() -> list[dict[str, str]]:
    with zipfile.ZipFile(package_data() / "flights.csv.zip") as archive:
        return list(csv.DictReader(io.StringIO(archive.read("flights.csv").decode())))


def rows_of(folder: Path, pattern: str) -> list[dict[str, str]]:
    paths = sorted(folder.glob(f"{pattern}-*.csv"))
    return [row for path in paths for row in csv.DictReader(path.read_text().splitlines())]


def test_drops_are_named_by_table_and_monday(drops: Path) -> None:
    names = Counter(path.name.split("-")[0] for path in drops.iterdir())
    assert names == {
        "flights": 27,
        "departures": 26,
        "arrivals": 26,
        "weather": 26,
        "airports": 1,
        "planes": 1,
        "airlines": 1,
    }
    dates = {date.fromisoformat(path.stem.split("-", 1)[1]) for path in drops.iterdir()}
    assert (min(dates), max(dates)) == (date(2012, 12, 31), date(2013, 7, 1))
    assert {day.weekday() for day in dates} == {0}


def test_every_shipped_row_is_fed_once_and_counted(drops: Path, shipped: list[dict[str, str]]) -> None:
    end = datetime(2013, 7, 1, 4, tzinfo=UTC)
    wanted: dict[str, set[str]] = {"flights": set(), "departures": set(), "arrivals": set()}
    for number, row in enumerate(shipped, start=1):
        at = datetime.fromisoformat(row["time_hour"]) + timedelta(minutes=int(row["minute"]))
        if at - timedelta(days=30) <= end:
            wanted["flights"].add(str(number))
        if row["dep_delay"] != "NA" and at + timedelta(minutes=int(row["dep_delay"])) <= end:
            wanted["departures"].add(str(number))
        if row["arr_delay"] != "NA" and at + timedelta(days=1) <= end:
            wanted["arrivals"].add(str(number))
    counts = shipped_counts(end)
    for table, numbers in wanted.items():
        fed = [row["flight_id"] for row in rows_of(drops, table)]
        assert len(fed) == len(set(fed)) == counts[table]
        assert set(fed) == numbers
    for table, key in (
        ("weather", ("origin", "time_hour")),
        ("airports", ("faa",)),
        ("planes", ("tailnum",)),
        ("airlines", ("carrier",)),
    ):
        keys = [tuple(row[name] for name in key) for row in rows_of(drops, table)]
        assert len(keys) == len(set(keys)) == counts[table]


def test_a_drop_holds_what_became_known_since_the_one_before(drops: Path) -> None:
    start, end = (datetime(2013, 3, day, tzinfo=UTC) + timedelta(hours=5 - (day > 10)) for day in (4, 11))
    known = {
        "arrivals": lambda row: datetime.fromisoformat(row["sched_dep"]) + timedelta(days=1),
        "flights": lambda row: datetime.fromisoformat(row["sched_dep"]) - timedelta(days=30),
        "weather": lambda row: datetime.fromisoformat(row["time_hour"]) + timedelta(hours=1),
        "departures": lambda row: datetime.fromisoformat(row["sched_dep"]) + timedelta(minutes=int(row["dep_delay"])),
    }
    for table, known_at in known.items():
        lines = (drops / f"{table}-2013-03-11.csv").read_text().splitlines()
        moments = [known_at(row) for row in csv.DictReader(lines)]
        assert start < min(moments)
        assert max(moments) <= end
        assert moments == sorted(moments)


def test_columns_are_those_of_params_and_whole_numbers_stay_whole(drops: Path) -> None:
    from evergreen.params import load_params

    for table, spec in load_params(ROOT / "params.yaml").tables.items():
        rows = rows_of(drops, table)
        assert list(spec.columns) == sorted(rows[0], key=list(spec.columns).index)
        for name, column in spec.columns.items():
            if column.type == "int64":
                assert all(row[name].isdigit() for row in rows[:5000] if row[name])


def test_the_defects_are_fed_as_shipped(drops: Path) -> None:
    assert "1048.36058" in {row["wind_speed"] for row in rows_of(drops, "weather")}
    assert "2400" in {row["dep_time"] for row in rows_of(drops, "departures")}
    first = rows_of(drops, "departures")[0]
    assert (first["flight_id"], first["sched_dep"]) == ("1", "2013-01-01T10:15:00Z")


def test_feeding_again_writes_nothing_and_in_steps_the_same_bytes(drops: Path, tmp_path: Path) -> None:
    assert feed(drops, local_midnight(EARLY)) == []
    for day in (date(2013, 1, 1), date(2013, 1, 7), EARLY):
        feed(tmp_path, local_midnight(day))
    stepwise = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(stepwise) == 4 + 3 * 3 + 3
    assert stepwise == {name: (drops / name).read_bytes() for name in stepwise}


def test_daily_drops_hold_the_same_rows_as_weekly_ones(drops: Path, tmp_path: Path) -> None:
    feed(tmp_path, local_midnight(date(2013, 1, 14)), timedelta(days=1))
    weekly = [row for row in rows_of(drops, "arrivals") if row["sched_dep"] <= "2013-01-13T05:00:00Z"]
    assert len(list(tmp_path.glob("arrivals-*"))) == 12
    assert rows_of(tmp_path, "arrivals") == weekly


def test_the_script_runs_by_itself(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--until", "2013-01-07", "--since", "2013-01-07", "--to", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == f"7 new drops in {tmp_path}\n"
    assert len(list(tmp_path.iterdir())) == 7
