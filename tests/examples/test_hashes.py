"""Two stacks' builds compared by hash: what must agree, and what another processor may change."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from evergreen.project import Project
from hashes import builds, compare, hashes

MOMENT = "2013-04-01T04:00:00Z"
ONE = {"snapshot": "a", "build/features.parquet": "b", "build/model.pkl": "c", "blas": "openblas Haswell"}


def test_the_same_builds_are_the_same() -> None:
    said, wrong = compare({MOMENT: ONE}, {MOMENT: ONE}, {MOMENT: ONE, "earlier": ONE})
    assert (said, wrong) == ([f"{MOMENT}  3 of 3 hashes are the same"], [])


@pytest.mark.parametrize("name", ["snapshot", "build/features.parquet", "build/model.pkl"])
def test_what_differs_is_named(name: str) -> None:
    _, wrong = compare({MOMENT: ONE}, {MOMENT: ONE | {name: "x"}}, {})
    assert wrong == [f"{MOMENT}: {name}"]


def test_an_output_that_only_one_has_differs() -> None:
    _, wrong = compare({MOMENT: ONE}, {MOMENT: ONE | {"build/more": "x"}}, {})
    assert wrong == [f"{MOMENT}: build/more"]


def test_on_other_kernels_snapshot_and_features_must_still_agree() -> None:
    other = {"blas": "openblas SkylakeX", "build/model.pkl": "x"}
    said, wrong = compare({MOMENT: ONE}, {MOMENT: ONE | other}, {})
    assert "models not compared" in said[0]
    assert wrong == []
    assert compare({MOMENT: ONE}, {MOMENT: ONE | other | {"snapshot": "x"}}, {})[1] == [f"{MOMENT}: snapshot"]


def test_what_neither_has_is_not_the_same() -> None:
    without = {name: value for name, value in ONE.items() if name != "build/features.parquet"}
    other = {"blas": "openblas SkylakeX"}
    assert compare({MOMENT: without}, {MOMENT: without | other}, {})[1] == [f"{MOMENT}: build/features.parquet"]


def test_a_build_that_only_one_has_is_a_difference() -> None:
    missing = ["later: one of the two has no such build"]
    assert compare({MOMENT: ONE}, {MOMENT: ONE, "later": ONE}, {MOMENT: ONE})[1] == missing
    assert compare({MOMENT: ONE, "later": ONE}, {MOMENT: ONE}, {MOMENT: ONE})[1] == missing


def test_a_stack_that_made_nothing_has_the_committed_build_and_says_so() -> None:
    said, wrong = compare({}, {MOMENT: ONE, "later": ONE}, {MOMENT: ONE})
    assert said[0] == f"{MOMENT}  3 of 3 hashes are the same"
    assert "this stack has no build of this commit" in said[1]
    assert wrong == []


def test_without_a_build_in_common_nothing_is_said() -> None:
    assert compare({}, {"later": ONE}, {MOMENT: ONE}) == ([], [])


def test_the_committed_build_is_one_to_compare_with_and_none_that_a_stack_made(tmp_path: Path) -> None:
    """Else two stacks of the same commit would agree before either had built anything."""
    clone = ["git", "clone", "--quiet", "--shared", "--no-tags", Path(__file__).parents[2], tmp_path / "clone"]
    subprocess.run(clone, check=True, timeout=60)
    project = Project.load(tmp_path / "clone")
    found = hashes(project, ["HEAD"])[MOMENT]
    assert {"snapshot", "build/features.parquet", "build/model.pkl", "build/metrics.json", "blas"} <= found.keys()
    assert builds(project) == []
