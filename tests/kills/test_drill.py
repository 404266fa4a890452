"""A small `make drill-kill`."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.kills.drill import Tally
from tests.kills.rows import Counts
from tests.kills.table import is_wrong, table


def drill(**env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.kills"], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_a_few_kills_of_one_source() -> None:
    ended = drill(KILLS="6", SOURCES="csv", SEED="3")
    assert ended.returncode == 0, ended.stderr
    cells = re.search(r"^\| csv \|(.*)\|$", ended.stdout, re.MULTILINE)
    assert cells, ended.stdout
    at_points, at_random, restarts, rows, written, *wrong, _orphans, _seconds = map(int, cells[1].split("|"))
    assert (at_points, at_random, wrong) == (3, 3, [0, 0, 0])
    assert restarts >= 6
    assert rows > written / 3 > 0
    assert "6 of 6 kills" in ended.stdout


def test_a_source_that_there_is_not() -> None:
    ended = drill(SOURCES="csv,gdrive")
    assert ended.returncode == 2
    assert "`gdrive` is not a source; known: csv, gcs" in ended.stderr


@pytest.mark.parametrize("wrong", [Counts(missing=1), Counts(doubled=1), Counts(torn=1)])
def test_any_wrong_row_fails_the_drill_and_is_shown(wrong: Counts) -> None:
    tallies = [Tally("csv"), Tally("kafka", counts=wrong, at_random=3)]
    assert list(map(is_wrong, tallies)) == [False, True]
    shown = f"| {wrong.missing} | {wrong.doubled} | {wrong.torn} |"
    assert table(tallies)[3:5] == [
        f"| kafka | 0 | 3 | 0 | 0 | 0 {shown} 0 | 0 |",
        f"| all | 0 | 3 | 0 | 0 | 0 {shown} 0 | 0 |",
    ]
