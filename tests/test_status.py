"""The space that a home takes, as `evergreen status` shows it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evergreen.gc.space import read_space, shown
from evergreen.paths import Home
from evergreen.project import Project
from evergreen.stages.rollback import rollback
from evergreen.status import read_status, render_status
from tests.conftest import SMALL
from tests.stages.test_approve import asking
from tests.stages.verdicts import FIRST, WEEK, Candidates, candidates


def plant(home: Home, **places: int) -> None:
    for place, size in places.items():
        path = home.root / place.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)


def on_disk(*places: Path) -> int:
    """As `du` counts."""
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    return sum(path.stat().st_blocks for path in files) * 512


def test_every_byte_is_of_one_kind_and_of_one_use_case_or_shared(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert sum(one.total for one in read_space(home, "small")) == 0
    plant(
        home, lake__small__raw__jobs__a=10_000, lake__other__raw__jobs__a=20_000, lake__small__clean__jobs__a=40_000,
        builds__small__b__data__a=80_000, models__other__b__a=100, dvc__cache__files__md5__aa__bb=320_000,
        mlflow__a=640, clock=0, drops__small__a=25_000, evidence__a=51_200,
    )  # fmt: skip
    found = {one.kind: (one.own, one.total) for one in read_space(home, "small") if one.files}
    small, other = home.lake("small"), home.lake("other")
    assert found == {
        "raw": (on_disk(small / "raw"), on_disk(small / "raw", other / "raw")),
        "clean": (on_disk(small / "clean"), on_disk(small / "clean")),
        "builds": (on_disk(home.builds("small")), on_disk(home.builds("small"))),
        "models": (0, on_disk(home.models("other"))),
        "DVC cache": (None, on_disk(home.dvc)), "MLflow": (None, on_disk(home.mlflow)), "other": (None, 0),
        "drops": (None, on_disk(tmp_path / "drops")), "evidence": (None, on_disk(home.evidence)),
    }  # fmt: skip
    assert sum(total for _, total in found.values()) == on_disk(tmp_path)


def test_what_a_sparse_file_leaves_out_is_not_counted(tmp_path: Path) -> None:
    """As Kafka makes its indexes."""
    home = Home(tmp_path)
    plant(home, kafka__log__topic__index=4096)
    os.truncate(home.kafka / "log" / "topic" / "index", 10_485_760)
    (kafka,) = [one for one in read_space(home, "small") if one.kind == "Kafka"]
    assert kafka.files == 1
    assert 0 < kafka.total < 100_000


def test_the_status_shows_it(make_project: Callable[..., Project]) -> None:
    project = make_project()
    plant(project.home, lake__small__quarantine__jobs__a=1500, lake__other__quarantine__jobs__a=1_000_000)
    own, total = on_disk(project.lake / "quarantine"), on_disk(project.home.root / "lake")
    status = read_status(project)
    text = render_status(status)
    shows = f"quarantine {shown(own)} {shown(total)} 2".split()
    assert shows in [line.split() for line in text.splitlines()]
    assert {one["kind"]: one["total"] for one in status.model_dump()["space"]}["quarantine"] == total


def test_the_address_of_each_server_is_shown(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERGREEN_PORT", "9000")
    text = SMALL.replace(
        "{kind: csv, path: drops/jobs-*.csv}", "{kind: kafka, connection: evergreen_kafka, topic: jobs}"
    )
    project = make_project(text + "services:\n  site: {command: 'python site.py {port}'}\n")
    lines = [line.split() for line in render_status(read_status(project)).partition("\nServers\n")[2].splitlines()]
    shown = {line[0]: line[-1] for line in lines if line}
    assert shown["mlflow"] == "http://127.0.0.1:9001"
    assert (shown["kafka"], shown["site"]) == ("127.0.0.1:9003", "127.0.0.1:9010")


def test_a_hundred_thousand_files_take_a_moment(tmp_path: Path) -> None:
    """Links to one file: making them is the slow part. Three times what was measured on a busy machine."""
    home = Home(tmp_path)
    folder = tmp_path / "dvc" / "cache" / "files" / "md5"
    for top in range(100):
        (folder / f"{top:02x}").mkdir(parents=True)
        first = folder / f"{top:02x}" / "0"
        first.write_bytes(b"x")
        for number in range(1, 1000):
            os.link(first, folder / f"{top:02x}" / str(number))
    began = time.process_time()
    found = {one.kind: one.files for one in read_space(home, "small")}
    assert found["DVC cache"] == 100_000
    assert time.process_time() - began < 2


def test_sizes_read_well() -> None:
    assert [shown(size) for size in (0, 999, 1500, 12_345_678, 3_000_000_000, 5_000_000_000_000)] == [
        "0 B", "999 B", "1.5 kB", "12.3 MB", "3.0 GB", "5,000.0 GB",
    ]  # fmt: skip


def test_it_says_who_is_waited_for_and_that_the_champion_was_rolled_back(candidates: Candidates) -> None:
    candidates.crown("one")
    candidates.crown("two", FIRST + WEEK)
    decision = candidates.judge("three", FIRST + WEEK, inputs=asking())
    text = render_status(read_status(candidates.project))
    assert f"evergreen approve {decision}" in text
    rollback(candidates.project, "worse by night", "ann", FIRST + 2 * WEEK)
    status = read_status(candidates.project)
    assert status.approvals == [], "it was about another champion"
    assert "rolled back from two by ann: worse by night" in render_status(status)
    assert "rollback  promote      worse by night" in render_status(status), "of whose kind a verdict is"


__all__ = ["candidates"]
