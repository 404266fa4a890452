"""The space that a home takes, as `evergreen status` shows it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from evergreen.gc.space import read_space, shown
from evergreen.paths import Home
from evergreen.project import Project
from evergreen.status import read_status, render_status


def plant(home: Home, **places: int) -> None:
    for place, size in places.items():
        path = home.root / place.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)


def test_every_byte_is_of_one_kind_and_of_one_use_case_or_shared(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert sum(one.total for one in read_space(home, "small")) == 0
    plant(
        home, lake__small__raw__jobs__a=1, lake__other__raw__jobs__a=2, lake__small__clean__jobs__a=4,
        builds__small__b__data__a=8, models__other__b__a=16, dvc__cache__files__md5__aa__bb=32, mlflow__a=64,
        clock=128, drops__small__a=256, evidence__a=512,
    )  # fmt: skip
    found = {one.kind: (one.own, one.total) for one in read_space(home, "small") if one.total}
    assert found == {
        "raw": (1, 3), "clean": (4, 4), "builds": (8, 8), "models": (0, 16), "DVC cache": (None, 32),
        "MLflow": (None, 64), "other": (None, 128), "drops": (None, 256), "evidence": (None, 512),
    }  # fmt: skip
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert sum(total for _, total in found.values()) == on_disk == 1023


def test_the_status_shows_it(make_project: Callable[..., Project]) -> None:
    project = make_project()
    plant(project.home, lake__small__quarantine__jobs__a=1500, lake__other__quarantine__jobs__a=1_000_000)
    status = read_status(project)
    text = render_status(status)
    assert ["quarantine", "1.5", "kB", "1.0", "MB", "2"] in [line.split() for line in text.splitlines()]
    assert {one["kind"]: one["total"] for one in status.model_dump()["space"]}["quarantine"] == 1_001_500


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
