"""`kill -9` anywhere in a backtest: run again, it ends with the same bytes, and no finished fit is made twice."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evergreen.backtest.fits import _read
from evergreen.backtest.run import backtest, page_of
from evergreen.project import Project
from tests.backtest.worlds import END, world

TEXT = "2024-03-06T05:00:00Z"  # END
PARALLEL = """
import sys
from evergreen.clock import parse_time
from evergreen.backtest.run import backtest
from evergreen.project import Project

if __name__ == "__main__":
    backtest(Project.load(sys.argv[1]), parse_time(sys.argv[2]), processes=2)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A world whose backtest has run."""
    project = world(tmp_path_factory.mktemp("undisturbed"))
    backtest(project, END, processes=1)
    return project


def again(undisturbed: Project, folder: Path) -> Project:
    """The same world before its backtest; its path differs, which must not matter."""
    root = shutil.copytree(undisturbed.root, folder / "copy")
    project = Project.load(root)
    shutil.rmtree(project.home.backtest("small"))
    shutil.rmtree(page_of(project).parent)
    return project


def run(project: Project, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from evergreen.cli import main; main()", "backtest", "--as-of", TEXT]
    env = os.environ | {"EVERGREEN_PROJECT": str(project.root), **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def fits(project: Project) -> dict[str, int]:
    """The kept fits, each with when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (project.home.backtest("small") / "fits").glob("*.npz")}


def bytes_of(project: Project) -> list[bytes]:
    return [page_of(project).read_bytes(), page_of(project).with_suffix(".json").read_bytes()]


@pytest.mark.parametrize("place", ["features.written", "backtest.fitted", "backtest.fitted:4", "backtest.told"])
def test_killed_there_and_run_again_it_ends_with_the_same_bytes(
    undisturbed: Project, tmp_path: Path, place: str
) -> None:
    project = again(undisturbed, tmp_path)
    killed = run(project, EVERGREEN_KILL_AT=place)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = fits(project)
    assert len(kept) == {"backtest.fitted": 1, "backtest.fitted:4": 4, "features.written": 0}.get(
        place, len(fits(undisturbed))
    )

    done = run(project)

    assert done.returncode == 0, done.stderr
    assert bytes_of(project) == bytes_of(undisturbed)
    assert {name: written for name, written in fits(project).items() if name in kept} == kept, "none is made again"
    assert fits(project).keys() == fits(undisturbed).keys()


def test_a_half_written_fit_is_made_again(undisturbed: Project, tmp_path: Path) -> None:
    project = Project.load(shutil.copytree(undisturbed.root, tmp_path / "copy"))
    damaged, emptied = sorted((project.home.backtest("small") / "fits").glob("*.npz"))[:2]
    damaged.write_bytes(damaged.read_bytes()[:-50])
    emptied.write_bytes(b"")
    (damaged.parent / f".{damaged.name}.abcdefgh").write_bytes(b"left by a kill")
    backtest(project, END, processes=1)
    assert bytes_of(project) == bytes_of(undisturbed)
    assert not list(damaged.parent.glob(".*"))


def test_a_kept_fit_with_any_byte_altered_is_the_same_or_none(undisturbed: Project, tmp_path: Path) -> None:
    kept = next((undisturbed.home.backtest("small") / "fits").glob("*.npz"))
    content, whole = kept.read_bytes(), _read(kept)
    assert whole is not None
    place = tmp_path / "altered.npz"
    headers = [*range(200), *range(len(content) - 400, len(content))]
    for at, bit in itertools.product(headers, range(8)):
        place.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        found = _read(place)
        assert found is None or (found.sha256 == whole.sha256 and found.p.tobytes() == whole.p.tobytes())


def test_two_processes_killed_in_the_middle_leave_nothing_running_and_go_on(
    undisturbed: Project, tmp_path: Path
) -> None:
    project = again(undisturbed, tmp_path)
    script = tmp_path / "parallel.py"
    script.write_text(PARALLEL)
    command = [sys.executable, str(script), str(project.root), TEXT]
    (tmp_path / "armed").mkdir()
    (tmp_path / "armed" / "backtest.fitted").write_text("stop")
    armed = os.environ | {"EVERGREEN_FAULTS": str(tmp_path / "armed")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, env=armed) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it ended before the first fit was there"
        process.kill()
        assert process.wait() == -signal.SIGKILL
        kept = fits(project)
        assert kept
        assert process.stderr is not None
        process.stderr.read()  # ends when the last process that holds it has ended
    subprocess.run(command, check=True)
    assert bytes_of(project) == bytes_of(undisturbed), "two processes give the bytes of one"
    assert {name: written for name, written in fits(project).items() if name in kept} == kept


def test_a_policy_more_makes_only_the_fits_that_are_new(undisturbed: Project, tmp_path: Path) -> None:
    project = Project.load(shutil.copytree(undisturbed.root, tmp_path / "copy"))
    path = project.root / "params.yaml"
    path.write_text(path.read_text().replace("policies: [weekly, triggers]", "policies: [weekly, triggers, sliding_1]"))
    before = fits(project)
    found = backtest(Project.load(project.root), END, processes=1)
    assert [one.name for one in found.policies] == ["never", *["weekly"] * 2, *["triggers"] * 2, *["sliding_1"] * 2]
    after = fits(project)
    assert before.items() <= after.items()
    assert len(before) < len(after)
