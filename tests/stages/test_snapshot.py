"""The snapshot stage: what was known at a moment, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evergreen.errors import ContractError, LakeError
from evergreen.project import Project
from evergreen.stages.snapshot import SnapshotResult, snapshot
from tests.conftest import SMALL
from tests.lake.lakes import at, day, deliver, job, outcome

Make = Callable[..., Project]


def test_it_is_the_same_until_a_row_becomes_known(make_project: Make) -> None:
    project = make_project()
    deliver(project, "jobs", [[job(1, day(5)), job(2, day(6))]], at(3))
    first = snapshot(project, at(3.5))
    assert (first.cutoff, first.rows) == (at(3), {"jobs": 1, "outcomes": 0})
    assert snapshot(project, at(3.9)) == first
    assert snapshot(project, at(4)).id != first.id
    assert SnapshotResult.model_validate_json(first.model_dump_json()) == first


def test_the_cutoff_goes_on_with_labels_that_are_settled_after_their_row(make_project: Make) -> None:
    own = "label: {value: size > 10, known_at: due + interval 1 day}"
    project = make_project(SMALL.replace("label: {table: outcomes, value: late > 10}", own))
    deliver(project, "jobs", [[job(1, day(5))]], at(3))
    first = snapshot(project, at(5.9))
    later = snapshot(project, at(6.5))
    assert (first.cutoff, later.cutoff) == (at(3), at(6))
    assert later.id == first.id


def test_without_rows_to_predict_there_is_none(make_project: Make) -> None:
    project = make_project()
    deliver(project, "outcomes", [[outcome(1, day(1))]], at(3))
    with pytest.raises(LakeError, match="no row of `jobs` was known at 2024-01-19T00:00:00Z"):
        snapshot(project, at(9))


def test_a_table_that_is_not_validated_is_refused(make_project: Make) -> None:
    project = make_project()
    deliver(project, "jobs", [[job(1, day(5))]], at(3))
    deliver(project, "outcomes", [[outcome(1, day(1))]], at(3), validated=False)
    with pytest.raises(ContractError, match="run `evergreen validate outcomes`"):
        snapshot(project, at(9))
    assert not project.data.exists()


def test_late_tables_are_named(make_project: Make, caplog: pytest.LogCaptureFixture) -> None:
    text = SMALL.replace("known_at: due + interval 1 day", "known_at: due + interval 1 day\n    freshness: 36 hours")
    project = make_project(text)
    deliver(project, "jobs", [[job(1, day(5))]], at(3))
    assert set(snapshot(project, at(5)).late) == {"outcomes"}
    assert "table `outcomes` is late: nothing known by 2024-01-15T00:00:00Z; allowed: 36 hours" in caplog.text
    deliver(project, "outcomes", [[outcome(1, day(5))]], at(6))
    assert snapshot(project, at(7.5)).late == {}
    assert set(snapshot(project, at(7.6)).late) == {"outcomes"}
