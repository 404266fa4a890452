"""The DVC steps of a build."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from evergreen.builds.dvc import add_snapshot, assert_up_to_date, run_stage
from evergreen.builds.records import Build
from evergreen.builds.worktree import open_build
from evergreen.errors import BuildError
from evergreen.project import Project
from tests.builds.conftest import AS_OF, STAGES, commit_all, git, write_snapshot


def test_stages_run_once_and_their_lines_are_streamed(build: Build, capfd: pytest.CaptureFixture[str]) -> None:
    run_stage(build, "features")
    assert "features ran" in capfd.readouterr().out
    run_stage(build, "features")
    assert "features ran" not in capfd.readouterr().out
    run_stage(build, "train")
    assert_up_to_date(build)
    assert git(build.worktree, "status", "--porcelain", "-uno") == "", "dvc.lock is new, .gitignore is not touched"


def test_another_build_of_the_same_snapshot_runs_nothing(
    build: Build, project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    run_stage(build, "features")
    (project.root / "README").write_text("another commit")
    commit_all(project.root)
    second = open_build(project, AS_OF)
    write_snapshot(second)
    add_snapshot(second)
    capfd.readouterr()
    run_stage(second, "features")
    assert "features ran" not in capfd.readouterr().out
    assert (second.project.root / "dvc.lock").read_bytes() == (build.project.root / "dvc.lock").read_bytes()


def test_a_changed_snapshot_makes_the_build_stale(build: Build) -> None:
    for stage in ("features", "train"):
        run_stage(build, stage)
    write_snapshot(build, "other rows")
    with pytest.raises(BuildError, match=r"not up to date(.|\n)*features"):
        assert_up_to_date(build)


def test_the_base_s_snapshot_is_not_used(project: Project) -> None:
    with pytest.raises(BuildError, match="has no snapshot yet"):
        run_stage(open_build(project, AS_OF), "features")
    with pytest.raises(BuildError, match="take the snapshot"):
        add_snapshot(open_build(project, AS_OF))


def test_a_failing_stage_fails_with_its_last_lines(project: Project) -> None:
    (project.root / "dvc.yaml").write_text(STAGES.replace("echo features ran", "echo too few rows >&2 && exit 3"))
    commit_all(project.root)
    build = open_build(project, AS_OF)
    write_snapshot(build)
    add_snapshot(build)
    with pytest.raises(BuildError, match=r"repro features(.|\n)*too few rows(.|\n)*To see it by hand: cd"):
        run_stage(build, "features")


def test_a_stage_runs_the_worktree_s_code_and_knows_its_build(project: Project) -> None:
    package = project.root / "include" / "evergreen"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("print('code of the worktree')\n")
    command = "python -c 'import evergreen' > build/out && env | grep -E '^(EVERGREEN|OMP)_' | sort >> build/out"
    (project.root / "dvc.yaml").write_text(
        f"stages:\n  show:\n    cmd: mkdir -p build && {command}\n    outs: [build/out]\n"
    )
    commit_all(project.root)
    build = open_build(project, AS_OF)
    shutil.rmtree(package)
    write_snapshot(build)
    add_snapshot(build)
    run_stage(build, "show")
    lines = (build.project.build / "out").read_text().splitlines()
    assert lines[0] == "code of the worktree"
    assert f"EVERGREEN_BUILD={build.id}" in lines
    assert f"EVERGREEN_PROJECT={build.project.root}" in lines
    assert f"EVERGREEN_HOME={project.home.root}" in lines
    assert "OMP_NUM_THREADS=1" in lines


@pytest.mark.parametrize("whom", ["$$", "$EVERGREEN_GUARD"], ids=["the stage", "dvc's guard"])
def test_a_killed_stage_says_that_it_was_killed(project: Project, whom: str) -> None:
    (project.root / "dvc.yaml").write_text(STAGES.replace("echo features ran", f"kill -9 {whom}"))
    commit_all(project.root)
    build = open_build(project, AS_OF)
    write_snapshot(build)
    add_snapshot(build)
    with pytest.raises(BuildError, match="was killed from outside"):
        run_stage(build, "features")


def test_no_other_user_can_write_where_dvc_keeps_things(project: Project) -> None:
    """DVC makes its scratch, and the folders above it, with 0777; so did homes of earlier versions."""
    site = project.home.dvc / "site"
    site.mkdir(parents=True)
    for folder in (project.home.dvc, site):
        folder.chmod(0o777)
    before = os.umask(0o022)
    try:
        build = open_build(project, AS_OF)
        write_snapshot(build)
        add_snapshot(build)
        run_stage(build, "features")
    finally:
        os.umask(before)
    assert any(site.rglob("repo")), "DVC has made its scratch"
    assert open_to_others(project.home.root) == []


def open_to_others(folder: Path) -> list[Path]:
    """What others can write, as far as they can come."""
    mode = folder.lstat().st_mode
    if stat.S_ISLNK(mode):
        return []
    found = [folder] if mode & stat.S_IWOTH else []
    if stat.S_ISDIR(mode) and mode & stat.S_IXOTH:
        found += [one for path in folder.iterdir() for one in open_to_others(path)]
    return found
