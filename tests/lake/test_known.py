"""Which version of a row was known when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from evergreen.errors import ContractError, LakeError
from evergreen.features.engine import connect
from evergreen.features.labels import label_cutoff
from evergreen.lake.known import clean_files, known_rows, refused_files
from evergreen.project import Project
from tests.conftest import SMALL
from tests.lake.lakes import at, day, deliver, job, outcome, record

Make = Callable[..., Project]


def versions(project: Project, as_of: datetime, **options: Any) -> list[tuple[int, int, datetime, float | None]]:
    """(id, version, known at, size) of the jobs known at `as_of`."""
    table = known_rows(connect(), project, as_of, ["jobs"], **options)["jobs"]
    rows = table.order_by("id", "_version").to_pyarrow().to_pylist()
    return [(row["id"], row["_version"], row["_known_at"], row["size"]) for row in rows]


def test_a_first_version_is_known_at_its_expression_whenever_it_was_brought(make_project: Make) -> None:
    project = make_project()
    deliver(project, "jobs", [[job(1, day(5)), job(2, day(7))]], at(9))
    assert versions(project, at(4)) == [(1, 1, day(3), 1.0)]
    assert versions(project, at(5)) == [(1, 1, day(3), 1.0), (2, 1, day(5), 1.0)]


def test_a_correction_is_known_when_it_was_brought_and_a_repetition_is_none(make_project: Make) -> None:
    project = make_project()
    deliver(project, "jobs", [[job(1, day(5), size=1)], [job(1, day(5), size=1)]], at(3))
    deliver(project, "jobs", [[job(1, day(5), size=1), job(1, day(5), size=2)]], at(6))
    deliver(project, "jobs", [[job(1, day(5), size=2)], [job(1, day(5), size=1)]], at(8))
    assert versions(project, at(5)) == [(1, 1, day(3), 1.0)]
    assert versions(project, at(9)) == [(1, 1, day(3), 1.0), (1, 2, day(6), 2.0), (1, 3, day(8), 1.0)]


def test_a_correction_is_never_known_before_its_own_expression_and_one_overtaken_never_counts(
    make_project: Make,
) -> None:
    project = make_project()
    deliver(project, "jobs", [[job(1, day(5), size=1)]], at(3))
    deliver(project, "jobs", [[job(1, day(20), size=2)]], at(4))  # its due minus 2 days is day 18
    deliver(project, "jobs", [[job(1, day(6), size=3)]], at(5))
    assert versions(project, at(4.5)) == [(1, 1, day(3), 1.0)]
    assert versions(project, at(30)) == [(1, 1, day(3), 1.0), (1, 3, day(5), 3.0)]


def test_a_year_that_was_mistyped_is_mended_by_a_correction(make_project: Make) -> None:
    project = make_project()
    far = day(5).replace(year=2204)
    deliver(project, "jobs", [[job(1, far), job(2, far)]], at(3))
    assert versions(project, at(9)) == []
    deliver(project, "jobs", [[job(1, day(5), size=2)]], at(4))
    assert versions(project, at(3.9)) == []
    assert versions(project, at(9)) == [(1, 2, day(4), 2.0)]


def test_a_source_that_says_when_it_changed_a_row_is_believed(make_project: Make) -> None:
    text = SMALL.replace("known_at: due - interval 2 days", "known_at: due\n    changed_at: edited").replace(
        "size: {type: float64, between: [0, 1000]}", "size: {type: float64}\n      edited: {type: timestamp}"
    )
    project = make_project(text)
    rows = [{**job(1, day(1), size=size), "edited": edited} for size, edited in ((3, day(4)), (2, day(3)), (1, None))]
    deliver(project, "jobs", [rows], at(9))
    assert versions(project, at(20)) == [(1, 1, day(1), 1.0), (1, 2, day(3), 2.0), (1, 3, day(4), 3.0)]


def test_a_row_without_a_time_is_never_known_and_derived_columns_are_made(make_project: Make) -> None:
    columns = "    columns:\n      id: {type: int64, nulls: never, severity"
    derived = "    derived: {hour due: \"date_trunc('hour', due)\"}\n"
    project = make_project(SMALL.replace(columns, derived + columns))
    deliver(project, "jobs", [[job(1, None), job(2, day(1.3))]], at(9))
    assert [row[0] for row in versions(project, at(9))] == [2]
    table = known_rows(connect(), project, at(9), ["jobs"])["jobs"]
    assert table["hour due"].to_pyarrow().to_pylist() == [day(1).replace(hour=7)]


def test_a_table_that_never_had_a_file_is_empty(make_project: Make) -> None:
    table = known_rows(connect(), make_project(), at(0))["jobs"]
    assert table.columns == ("id", "due", "team", "size", "_known_at", "_version")
    assert table.count().execute() == 0


def test_files_that_did_not_pass_validation_are_refused(make_project: Make) -> None:
    project = make_project()
    deliver(project, "jobs", [[job(1, day(1))]], at(1))
    (raw,) = deliver(project, "jobs", [[job(2, day(1))]], at(1), validated=False)
    with pytest.raises(ContractError, match="has not been validated yet; run `evergreen validate jobs`"):
        versions(project, at(9))
    assert [row[0] for row in versions(project, at(9), refuse=False)] == [1]
    record(project, "jobs", raw, None, 1, critical="expected 4 columns, found 3.")
    with pytest.raises(ContractError, match=r"jobs.*expected 4 columns, found 3.*evergreen validate jobs --again"):
        versions(project, at(9))
    assert [row[0] for row in versions(project, at(9), refuse=False)] == [1]
    assert refused_files(project, ["jobs", "outcomes"]) == [
        f"jobs: {raw} broke its contract: expected 4 columns, found 3"
    ]


def clean_file(project: Project) -> Path:
    (file,) = clean_files(project, "jobs")
    return Path(file.path)


@pytest.mark.parametrize(
    ("damage", "said"), [(Path.unlink, "is missing"), (lambda path: path.write_bytes(b"x"), "is not the file")]
)
def test_a_clean_file_that_is_lost_or_altered_is_named(
    make_project: Make, damage: Callable[[Path], object], said: str
) -> None:
    project = make_project()
    deliver(project, "jobs", [[job(1, day(1))]], at(1))
    path = clean_file(project)
    damage(path)
    with pytest.raises(LakeError, match=f"{path.name} {said}.*evergreen validate jobs --again"):
        versions(project, at(9), refuse=False)


def test_a_column_that_was_declared_later_asks_for_validation_again(make_project: Make) -> None:
    project = make_project()
    deliver(project, "jobs", [[job(1, day(1))]], at(1))
    columns = "    columns:\n      id: {type: int64, nulls: never, severity"
    text = SMALL.replace(columns, columns.replace("      id", "      grade: {type: string}\n      id"))
    (project.root / "params.yaml").write_text(text)
    with pytest.raises(ContractError, match=r"`grade` was not declared when .* run `evergreen validate jobs --again`"):
        versions(Project.load(project.root), at(9), refuse=False)


def test_the_label_cutoff_is_that_of_the_newest_label_known(make_project: Make) -> None:
    project = make_project()
    assert label_cutoff(project, at(9)) is None
    deliver(project, "outcomes", [[outcome(1, day(1)), outcome(2, day(2)), outcome(3, day(2.5), late=None)]], at(9))
    assert label_cutoff(project, at(2.5)) == at(2)
    assert label_cutoff(project, at(9)) == at(3)
