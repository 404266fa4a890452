"""A snapshot's bytes follow from its rows, and what is not the snapshot is refused."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from evergreen.errors import LakeError
from evergreen.features.engine import connect
from evergreen.lake.canonical import write_parquet
from evergreen.lake.known import known_rows
from evergreen.lake.schema import ROW_GROUP
from evergreen.lake.snapshots import load_snapshot, read_snapshot, write_snapshot
from evergreen.project import Project
from tests.lake.lakes import Row, at, day, deliver, job, outcome

Make = Callable[..., Project]
JOBS = [job(i, day(i % 50), team=["red", "green", "blue"][i % 3], size=i / 7) for i in range(400)]
OUTCOMES = [outcome(i, day(i % 50), late=float(i % 30)) for i in range(300)]


def taken(project: Project, number: float = 60) -> dict[str, bytes]:
    """Take a snapshot and read all that it wrote."""
    con = connect()
    write_snapshot(con, known_rows(con, project, at(number)), project)
    files = {str(path.relative_to(project.data)): path.read_bytes() for path in project.data.rglob("*.parquet")}
    return {**files, "snapshot.json": project.snapshot.read_bytes()}


def test_the_same_rows_give_the_same_bytes_whatever_files_they_came_in(
    make_project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make_project(root=tmp_path / "one"), make_project(root=tmp_path / "other")
    deliver(one, "jobs", [JOBS], at(50))
    deliver(one, "outcomes", [OUTCOMES], at(50))
    shuffled: list[Row] = random.Random(0).sample(JOBS, len(JOBS))
    parts = [shuffled[number::7] for number in range(7)]
    found = taken(one)
    monkeypatch.delenv("EVERGREEN_LAKE_URL", raising=False)  # the other one is on a disk in any case
    deliver(other, "outcomes", [OUTCOMES[::-1]], at(51))
    deliver(other, "jobs", parts[:3], at(51))
    deliver(other, "jobs", parts[3:], at(55))
    assert found == taken(other)
    assert {"jobs/2024-01.parquet", "jobs/2024-02.parquet", "outcomes/2024-01.parquet"} <= set(found)


def test_loading_gives_what_was_known_and_needs_no_lake(make_project: Make) -> None:
    project = make_project()
    deliver(project, "jobs", [JOBS], at(50))
    deliver(project, "jobs", [[job(7, day(7), size=9)]], at(55))
    con = connect()
    known = known_rows(con, project, at(56))
    info = write_snapshot(con, known, project)
    os.rename(project.lake, project.lake.with_name("gone"))
    loaded = load_snapshot(con, project)
    for name, table in known.items():
        order = ["id", "_version"]
        assert loaded[name].order_by(order).to_pyarrow().equals(table.order_by(order).to_pyarrow())
    assert info.cutoff == at(55)
    assert info == read_snapshot(project)
    assert set(json.loads(project.snapshot.read_text())) == {"id", "cutoff", "tables"}
    # A correction stays in the month in which its row was first known.
    assert info.tables["jobs"].rows == len(JOBS) + 1


def test_months_that_did_not_change_stay_the_same_files(make_project: Make) -> None:
    project = make_project()
    deliver(project, "jobs", [JOBS], at(50))
    first = taken(project)
    kept = project.data / "jobs" / "2024-01.parquet"
    before = kept.stat()
    deliver(project, "jobs", [[job(1000, day(49))]], at(50))
    second = taken(project)
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    assert kept.stat().st_ino == before.st_ino
    assert {name for name in second if second[name] != first[name]} == {"jobs/2024-02.parquet", "snapshot.json"}


@pytest.mark.parametrize("harm", ["removed", "altered"])
def test_a_missing_or_altered_file_is_named(make_project: Make, harm: str) -> None:
    project = make_project()
    deliver(project, "jobs", [JOBS], at(50))
    taken(project)
    file = project.data / "jobs" / "2024-01.parquet"
    content = file.read_bytes()
    file.unlink()
    if harm == "altered":
        file.write_bytes(bytes([content[0], content[1] ^ 1]) + content[2:])
    with pytest.raises(LakeError, match=r"2024-01\.parquet.*evergreen snapshot"):
        load_snapshot(connect(), project)


class Killed(BaseException):
    """As a signal would end the run, at a chosen call."""


@pytest.mark.parametrize("call", range(1, 5))
def test_a_kill_leaves_a_snapshot_that_the_next_run_completes(
    make_project: Make, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    project = make_project()
    deliver(project, "jobs", [JOBS], at(50))
    old = taken(project)
    deliver(project, "jobs", [[job(1000, day(49))]], at(50))
    calls, real = iter(range(1, 100)), {name: getattr(os, name) for name in ("rename", "link", "replace")}

    def dying(name: str) -> Callable[..., None]:
        def run(*args: object, **options: object) -> None:
            if next(calls) == call:
                raise Killed
            real[name](*args, **options)

        return run

    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(os, name, dying(name))
        with pytest.raises(Killed):
            taken(project)
    with suppress(LakeError):  # refused, or else the old one, whole
        load_snapshot(connect(), project)
        assert project.snapshot.read_bytes() == old["snapshot.json"]
    assert taken(project) != old
    load_snapshot(connect(), project)
    assert sorted(path.name for path in project.root.iterdir() if path.name.startswith(".data")) == []


def test_bytes_do_not_follow_the_batches(tmp_path: Path) -> None:
    rows = ROW_GROUP + 1000
    table = pa.table({"x": pa.array(range(rows), pa.int64()), "y": pa.array([str(i % 97) for i in range(rows)])})
    for number, size in enumerate((rows, 10_007)):
        assert write_parquet(tmp_path / f"{number}", table.schema, table.to_batches(size)) == rows
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
