"""The archive of a folder that is at work: what names is taken at one moment and first, what it names is in it too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ARCHIVE = Path(__file__).parents[2] / "deploy/archive.py"
COMMAND = [sys.executable, "-P", str(ARCHIVE)]


def test_what_is_written_is_read_again(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    subprocess.run([*COMMAND, "read", tmp_path / "again"], input=written(volume), check=True, timeout=60)
    assert files(tmp_path / "again") == {name: content for name, content in files(volume).items() if wanted(name)}
    said = subprocess.run(
        ["git", "-C", tmp_path / "again/project", "fsck"], capture_output=True, check=True, timeout=60
    )
    assert b"missing" not in said.stdout + said.stderr
    assert git(tmp_path / "again/project", "tag") == "build/small/b1"


def test_what_names_comes_before_what_it_names(volume: Path, tmp_path: Path) -> None:
    names = members(written(volume), tmp_path)
    assert names.index("home/lake/small/raw/t/ledger/1.json") < names.index("home/lake/small/raw/t/1.parquet")
    objects = [name for name in names if "/.git/objects/" in name and name.count("/") == 4]
    assert names.index("project/.git/HEAD") < names.index(objects[0])


def test_a_manifest_of_a_moment_later_is_not_in_it_and_its_data_do_no_harm(volume: Path, tmp_path: Path) -> None:
    with subprocess.Popen([*COMMAND, "write", volume], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        content = process.stdout.read(1)  # the first comes when a good part is written: what names has been taken
        publish(volume, 2)
        content += process.stdout.read()
    assert process.returncode == 0
    names = members(content, tmp_path)
    manifests = [name for name in names if name.startswith("home/lake/small/raw/t/ledger/") and name.endswith("json")]
    assert manifests == ["home/lake/small/raw/t/ledger/1.json"]


def test_who_is_told_nothing_writes_nothing(volume: Path) -> None:
    """The asking side is gone: its end of the pipe closes, and the lock that keeps gc away is given back."""
    places = os.pathsep.join([str(ARCHIVE.parent), str(ARCHIVE.parents[1] / "include")])
    script = f"import archive; archive.facts = dict; archive.main('write', {str(volume)!r}, 'hold')"
    run = subprocess.run(
        [sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True,
        env=os.environ | {"EVERGREEN_HOME": str(volume / "home"), "PYTHONPATH": places},
    )  # fmt: skip
    assert run.stdout == b"{}\n"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A home with a manifest and its data, a clone with a tag that is packed, a lock and a worktree."""
    root = tmp_path / "volume"
    publish(root, 1)
    for name in ("home/locks/x.lock", "home/builds/small/b1/f", "home/evidence/e.parquet", "project/f"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.urandom(300_000))
    git(root / "project", "init", "--quiet")
    git(root / "project", "add", "f")
    git(root / "project", "commit", "--quiet", "--message", "one")
    git(root / "project", "tag", "build/small/b1")
    git(root / "project", "pack-refs", "--all")
    (root / "project/.git/index.lock").touch()
    return root


def publish(root: Path, number: int) -> None:
    """Data, then the manifest that names them, as the lake does."""
    table = root / "home/lake/small/raw/t"
    (table / "ledger").mkdir(parents=True, exist_ok=True)
    (table / f"{number}.parquet").write_bytes(os.urandom(300_000))
    (table / f"ledger/{number}.json").write_text(json.dumps({"file": f"{number}.parquet"}))


def wanted(name: str) -> bool:
    return not name.startswith(("home/locks", "home/builds")) and not name.endswith(".lock")


def written(root: Path) -> bytes:
    return subprocess.run([*COMMAND, "write", root], capture_output=True, check=True, timeout=60).stdout


def members(content: bytes, folder: Path) -> list[str]:
    (folder / "it.tar").write_bytes(content)
    with tarfile.open(folder / "it.tar") as tar:
        return tar.getnames()


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True, timeout=60)
    return run.stdout.strip()
