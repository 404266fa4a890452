"""The shipped use cases under the same eyes: what is true of them is said, and nothing is cried over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from evergreen.inspection.inspect import inspect
from evergreen.inspection.records import Inspection
from evergreen.params import load_params
from evergreen.project import Project
from feed import feed, with_drops
from shipped import local_midnight
from tests.conftest import ROOT

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def drops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drops")
    feed(folder, local_midnight(date(2013, 2, 11)))
    return folder


@pytest.fixture
def flights(make_project: Callable[..., Project], drops: Path) -> Inspection:
    project = with_drops(make_project((ROOT / "params.yaml").read_text()))
    shutil.copytree(drops, project.root / ".evergreen" / "drops" / "flights")
    return inspect(project, list(project.params.tables), NOW)


def test_the_flights_give_no_warning(flights: Inspection) -> None:
    assert [one for one in flights.findings if one.severity != "note"] == []
    assert all(table.rows for table in flights.tables)
    assert flights.label is not None
    assert flights.label.hours == 26
    assert flights.label.share is not None
    assert 0.96 < flights.label.share < 0.995, "cancelled and diverted flights have none"


def test_the_defects_of_the_flights_are_told(flights: Inspection) -> None:
    assert {(one.table, one.column) for one in flights.findings} == {("arrivals", "arr_time")}  # a time of 24:00


def test_the_parts_of_the_bikers_are_told_and_nothing_is_a_warning() -> None:
    root = ROOT / "examples" / "bikeshare"
    project = Project(root, load_params(root / "params.yaml"), Project.load(ROOT).home)
    found = inspect(project, ["hours"], NOW)
    assert found.count("error") == found.count("warning") == 0
    told = {one.column: one.seen for one in found.findings}
    assert "`casual + registered` in every row" in told["casual"]
    assert "`casual + registered` in every row" in told["registered"]
