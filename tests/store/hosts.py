"""Two hosts of one loop: each with a home of its own and the same files to ingest, and the lake in one bucket."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

from evergreen.project import Project
from evergreen.stages.ingest import ingest
from evergreen.stages.snapshot import snapshot
from evergreen.stages.validate import validate
from tests.buckets import Bucket
from tests.stores import PREFIX

AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)
Make = Callable[..., Project]


def drop(project: Project, day: int, rows: int = 10) -> None:
    """A file for each table; of the jobs one row breaks its contract."""
    folder = project.root / "drops"
    folder.mkdir(exist_ok=True)
    numbers = range(day * 100, day * 100 + rows)
    due = f"2013-01-{day:02d}T10:00Z"
    jobs = "".join(f"{n},{due},red,{n - day * 100}.5\n" for n in numbers) + f"{day * 100 + rows},{due},pink,1\n"
    (folder / f"jobs-{day:02d}.csv").write_text("id,due,team,size\n" + jobs)
    late = "".join(f"{n},{due},red,{n % 20}\n" for n in numbers)
    (folder / f"outcomes-{day:02d}.csv").write_text("id,due,team,late\n" + late)


def work(project: Project) -> None:
    """What a night does until it has a snapshot."""
    for table in ("jobs", "outcomes"):
        ingest(project, table, AS_OF)
        validate(project, table)
    snapshot(project, AS_OF)


def here(project: Project) -> dict[str, Any]:
    """The files of a home's lake, as `in_bucket` has them."""
    files = {path.relative_to(project.lake).as_posix(): path for path in project.lake.rglob("*") if path.is_file()}
    return {name: content(name, path.read_bytes()) for name, path in files.items()}


def in_bucket(bucket: Bucket, name: str = "small") -> dict[str, Any]:
    """The objects of a lake by their place in it."""
    return {place: content(place, data) for place, data in bucket.contents(f"{PREFIX}lake/{name}/").items()}


def content(name: str, data: bytes) -> Any:
    """A manifest without the time of its commit, which differs; of all else the bytes."""
    if "/ledger/" not in name:
        return data
    return {key: value for key, value in json.loads(data).items() if key != "committed_at"}


_HEARD: dict[str, Callable[[], object]] = {}  # point to what is done there, once
_PASSED: list[str] = []


def _hear(event: str, arguments: tuple[str, ...]) -> None:
    if event == "evergreen.point":
        _PASSED.append(arguments[0])
        _HEARD.pop(arguments[0], lambda: None)()


@cache
def _ears() -> None:
    sys.addaudithook(_hear)  # for good: there is no way to take one off


@contextmanager
def in_the_middle(point: str, do: Callable[[], object]) -> Iterator[None]:
    """Do something when this process comes by a point for the first time."""
    _ears()
    _HEARD[point] = do
    yield
    assert point not in _HEARD


def passings(run: Callable[[], object]) -> list[str]:
    """The points that a run comes by, each with the number of the passing: `bucket.put:2`."""
    _ears()
    _PASSED.clear()
    run()
    return [f"{point}:{_PASSED[: place + 1].count(point)}" for place, point in enumerate(_PASSED)]


def killed(at: str, run: Callable[[], object]) -> bool:
    """Whether a process of its own was killed there; else it ended well."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_armed, args=(at, run))
    process.start()
    process.join(300)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _armed(at: str, run: Callable[[], object]) -> None:
    os.environ["EVERGREEN_KILL_AT"] = at
    run()
