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
    with pytest.raises(LakeError, match="no row whose moment of prediction"):
        features(project)
    assert not any(project.build.iterdir())


def test_without_a_snapshot_it_says_what_to_do(make_project: Make) -> None:
    with pytest.raises(LakeError, match="take a snapshot with `evergreen snapshot`"):
        features(make_project())
