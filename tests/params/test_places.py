"""A message that begins with a place gets the file and the line of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evergreen.params.places import with_lines
from tests.conftest import SMALL

DOTTED = """
tables:
  a.b:
    columns:
      a: {type: int64}
      a.b: {type: int64}
"""


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("tables.jobs.known_at: `x` names the column `x`", 8),
        ("tables.jobs.columns.size.between: no value", 13),
        ("tables.jobs: the column name `_row` is taken", 5),
        ("features.row.hour: `hour` cannot be computed", 28),
        ("features.trailing.team_late_3d.mean: `late`", 29),
        ("features: `a` and `A` differ in case only", 27),
        ("params.yaml: `tables.outcomes.source.path` is 3", 15),
        ("params.yaml: `tables.jobs.source` lacks `path`", 6),
        ("the feature `team_late_3d` is VARCHAR: make it", 29),
        ("the feature `hour` has the name of a column", 28),
        ("the feature `gone` is VARCHAR", 27),
    ],
)
def test_the_line_is_that_of_the_place(message: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SMALL)
    assert with_lines(message, path) == f"{path}:{line}: {message.removeprefix('params.yaml: ')}"


@pytest.mark.parametrize("message", ["tables are many", "name me one", "nothing of it", "gate window of 3", ""])
def test_what_names_no_place_stays_as_it_is(message: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(SMALL)
    assert with_lines(message, path) == message
    assert with_lines(f"{path}:3: `x` is 3", path) == f"{path}:3: `x` is 3"
    assert with_lines("tables.jobs: x", tmp_path / "none.yaml") == "tables.jobs: x"


def test_of_names_with_dots_the_longest_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(DOTTED)
    assert with_lines("tables.a.b.columns.a.b: x\ntables.a.b.columns.a: y", path).splitlines() == [
        f"{path}:6: tables.a.b.columns.a.b: x", f"{path}:5: tables.a.b.columns.a: y",
    ]  # fmt: skip
