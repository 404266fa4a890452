"""The features stage: the snapshot's feature table as canonical Parquet."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from evergreen.errors import LakeError
from evergreen.paths import file_sha256
from evergreen.project import Project
from evergreen.stages.features import FeaturesResult, features, features_schema
from evergreen.stages.snapshot import snapshot
from tests.conftest import SMALL
from tests.lake.lakes import at, day, deliver, job, outcome

Make = Callable[..., Project]
JOBS = [job(i, day(5 + i / 10), team=["red", "blue"][i % 2], size=float(i)) for i in range(100)]
OUTCOMES = [outcome(i, day(5 + i / 10), late=float(i % 20), team=["red", "blue"][i % 2]) for i in range(100)]


@pytest.fixture
def project(make_project: Make) -> Project:
    made = make_project()
    deliver(made, "jobs", [JOBS], at(5))
    deliver(made, "outcomes", [OUTCOMES[:60]], at(12))
    snapshot(made, at(12))
    return made


def test_it_holds_what_was_known_at_the_cutoff(project: Project) -> None:
    result = features(project)
    table = pq.read_table(project.build / "features.parquet")
    assert table.schema.equals(features_schema(project.params))
    times, keys = table["_time"].to_pylist(), table["_key"].to_pylist()
    assert list(zip(times, keys, strict=True)) == sorted(zip(times, keys, strict=True))
    assert result.rows == table.num_rows == sum(day(5 + i / 10 - 1 / 24) <= day(12) for i in range(100))
    assert result.labelled == 60 == table.num_rows - table["_label"].null_count
    assert result.positives == sum(row["late"] > 10 for row in OUTCOMES[:60])
    assert result.sha256 == file_sha256(project.build / "features.parquet")
    assert FeaturesResult.model_validate_json(result.model_dump_json()) == result


def test_the_same_snapshot_gives_the_same_bytes_without_a_lake(project: Project) -> None:
    first = features(project)
    shutil.rmtree(project.lake)
    shutil.rmtree(project.build)
    assert features(project) == first


def test_nothing_to_predict_before_the_cutoff_is_an_error(make_project: Make) -> None:
    project = make_project()
    deliver(project, "jobs", [[job(1, day(5))]], at(3))
    snapshot(project, at(3))
    with pytest.raises(LakeError, match=r"no row of `jobs` .* by its cut-off 2024-01-13T00:00:00Z.*a later as_of"):
        features(project)
    assert not project.build.exists() or not any(project.build.iterdir())


def test_without_a_snapshot_it_says_what_to_do(make_project: Make) -> None:
    with pytest.raises(LakeError, match="take a snapshot with `evergreen snapshot`"):
        features(make_project())


def test_rows_known_only_after_their_moment_are_counted_and_named(make_project: Make) -> None:
    project = make_project(SMALL.replace("known_at: due - interval 2 days", "known_at: coalesce(due, '2024-01-10')"))
    deliver(project, "jobs", [[*JOBS[:30], job(100, None)]], at(20))
    deliver(project, "outcomes", [OUTCOMES[:30]], at(20))
    snapshot(project, at(20))
    with pytest.raises(LakeError) as caught:
        features(project)
    assert str(caught.value) == (
        "no row of `jobs` in the snapshot has a moment of prediction by its cut-off 2024-01-18T21:36:00Z at which it "
        "was known; 30 were known only after their moment, such as 29: known at 2024-01-17T21:36:00Z, to be predicted "
        "at 2024-01-17T20:36:00Z; 1 have none. Look at prediction.at (`due - interval 1 hour`) and the table's "
        "`known_at` in params.yaml"
    )
    deliver(project, "jobs", [JOBS[30:40]], at(20))
    path = project.root / "params.yaml"
    path.write_text(path.read_text().replace("coalesce(due", "coalesce(due - (id // 30) * interval 2 days"))
    mended = Project.load(project.root)
    snapshot(mended, at(20))
    found = features(mended)
    assert (found.rows, found.known_late, found.without_moment) == (10, 30, 1)


@pytest.mark.parametrize("late", [60, 7])
def test_a_label_known_by_its_rows_moment_is_nothing_to_learn(
    make_project: Make, caplog: pytest.LogCaptureFixture, late: int
) -> None:
    """Jobs below number `late` are reported two hours ahead of being due."""
    known = f"due + interval 1 day - (id < {late})::int * interval 26 hours"
    project = make_project(SMALL.replace("known_at: due + interval 1 day", f"known_at: {known}"))
    deliver(project, "jobs", [JOBS], at(5))
    deliver(project, "outcomes", [OUTCOMES[:60]], at(12))
    snapshot(project, at(12.5))
    if late == 60:
        with pytest.raises(LakeError, match=r"no label is left to learn from: 60 rows had their label by their moment"):
            features(project)
        assert not project.build.exists() or not any(project.build.iterdir())
        return
    found = features(project)
    assert (found.labelled, found.foreknown) == (53, 7)
    assert "7 rows had their label by their moment of prediction (`due - interval 1 hour`)" in caplog.text
    table = pq.read_table(project.build / "features.parquet").to_pandas().set_index("_key")
    assert table.loc[[str(i) for i in range(7)], "_label"].isna().all()
