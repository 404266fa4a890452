"""A backup of the stack while a run is under way, brought back into an empty one: the last of the drills.

A bucket is not in it, and has by then what that run went on to write.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.compose.conftest import hold
from tests.compose.server import CLONE, ROOT, Server, weeks

ARTIFACTS = """
import hashlib, os, pathlib
import mlflow
found = pathlib.Path(mlflow.artifacts.download_artifacts(artifact_uri='models:/flights@champion'))
files = [path for path in found.rglob('*') if path.is_file()]
print(json.dumps({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}))
"""
FILES = """
import hashlib, pathlib
lake = pathlib.Path('/evergreen/home/lake')
files = lake.rglob('*.parquet')
print(json.dumps({str(path.relative_to(lake)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}))
"""


def backup(server: Server, *arguments: str | Path) -> str:
    """What `make backup` and `make restore` call, for this stack."""
    run = subprocess.run(
        [sys.executable, ROOT / "deploy" / "backup.py", *arguments],
        env=server.environment() | {"COMPOSE": shlex.join(server.command())}, cwd=ROOT, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def known(server: Server) -> dict[str, Any]:
    """What a restored stack must have again."""
    return {
        "decisions": server.sql("evergreen", "select id, verdict, created_at from decisions order by seq"),
        "promotions": server.sql("evergreen", "select build, decision from promotions order by seq"),
        "champion": server.python(ARTIFACTS),
        "builds": server.inside("scheduler", "git", "-C", CLONE, "for-each-ref", "refs/tags").splitlines(),
    }


def files(server: Server) -> dict[str, str]:
    """The lake's files, each with its hash."""
    found: dict[str, str] = server.python(FILES)
    return found


def test_a_backup_of_a_running_stack_is_brought_back(
    server: Server, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    before, lake = known(server), files(server)
    moment = server.moment()
    run = server.trigger("retrain", moment, force=True)
    server.wait_for(run, "train", "running")
    backup(server, "create", "--to", tmp_path)
    server.ended(run)
    (made,) = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    server.remove(bucket=False)
    hold(server)
    said = backup(server, "restore", made)
    assert "same" in said, said
    assert known(server) == before
    assert lake.items() <= files(server).items()  # the hour's scoring may have written more since
    build = server.build_of(weeks(0))
    assert "byte-identical" in server.inside("scheduler", "evergreen", "reproduce", build)
    again = server.run("retrain", moment, force=True)  # the one that was under way: nothing of it is in the way
    server.require_one_of_each(moment)
    size = sum(path.stat().st_size for path in made.iterdir()) / 1e6
    record_property("drill", "a backup while a retrain runs, restored into an empty stack")
    record_property("outcome", f"{size:.0f} MB; every decision made again the same; the run that was cut off ran again")
    record_property("undisturbed", server.undisturbed)
    record_property("disturbed", again)
