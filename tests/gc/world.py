"""A clone with two use cases and several builds, real for git and DVC, made once and copied for each test.

`small` at the top: `champion` was promoted; `rejected` and `spoiled` were judged long ago, `recent` lately, `last`
after all others; `unfinished` was never tagged. `other`, in a folder, shares home, cache and remote. Stages are shell
commands.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from evergreen import clock
from evergreen.builds.command import dvc
from evergreen.builds.commit import commit_build
from evergreen.builds.dvc import add_snapshot
from evergreen.builds.records import Build
from evergreen.builds.worktree import open_build
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.project import Project
from tests.builds.conftest import STAGES, write_snapshot
from tests.conftest import SMALL
from tests.data import day

NOW = day(60)
OPENED = {
    "champion": day(0), "rejected": day(10), "spoiled": day(12), "unfinished": day(20), "recent": day(50),
    "last": day(58),
}  # fmt: skip
IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "test@example.org"))
}


@dataclass(frozen=True)
class World:
    """The clone, and the ids of its builds by what they are called above."""

    root: Path
    builds: dict[str, str]

    @property
    def project(self) -> Project:
        return Project.load(self.root)

    @property
    def other(self) -> Project:
        return Project.load(self.root / "other")

    def tags(self) -> list[str]:
        """The names of the builds that are tagged, `other`'s by that word."""
        named = {build: name for name, build in self.builds.items()}
        found = git(self.root, "tag", "--list", "build/*").split()
        return sorted("other" if "/other/" in tag else named[tag.rpartition("/")[2]] for tag in found)

    def age(self, name: str, hours: float) -> None:
        """Let a build be made so long ago by the wall's clock."""
        build, then = self.builds[name], time.time() - hours * 3600
        record = self.root / ".evergreen" / "builds" / "small" / f"{build}.json"
        for place in (record, self.root / ".git" / "worktrees" / build / "evergreen-ready"):
            os.utime(place, (then, then))

    def files(self) -> list[str]:
        """Every file of the home and every tag; what a stamp, a lock or a log is called says nothing."""
        home = self.root / ".evergreen"
        kept = [path for path in home.rglob("*") if path.is_file() and "locks" not in path.parts]
        names = [path.relative_to(home).as_posix() for path in kept if not path.name.startswith("ledger.db-")]
        entries = [path.name for path in (self.root / ".git" / "worktrees").glob("*")]
        return sorted([*names, *self.tags(), *entries])


def git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, env=os.environ | IDENTITY
    )
    return run.stdout.strip()


def open_world(folder: Path) -> World:
    """A copy in `folder`, its worktrees at home there."""
    made = _original()
    root = Path(shutil.copytree(made.root, folder / "world", symlinks=True))
    for pointer in (*root.glob(".evergreen/builds/*/*/.git"), *root.glob(".git/worktrees/*/gitdir")):
        pointer.write_text(pointer.read_text().replace(str(made.root), str(root)))
    world = World(root, made.builds)
    world.age("unfinished", hours=2)
    return world


def judge(project: Project, build: str, as_of: datetime, verdict: str, **inputs: object) -> Decision:
    """Record a decision, as the gate does."""
    ledger = Ledger.open(project.home)
    champion = ledger.champion(project.name)
    told = {"candidate": {"cutoff": clock.format_time(as_of)}, "champion": champion and {"build": champion.build}}
    return ledger.record_decision(
        Decision(
            id=f"gate-{project.name}-{build}-{as_of:%j}", name=project.name, kind="gate", build=build, as_of=as_of,
            verdict=verdict, reason="a test", inputs=told | inputs, actor="test",
        )
    )  # fmt: skip


def promote(project: Project, decision: Decision, version: int | None = None) -> None:
    """Carry out a decision."""
    ledger = Ledger.open(project.home)
    champion = ledger.champion(project.name)
    ledger.record_promotion(
        Promotion(
            name=project.name, build=str(decision.build), version=version, bundle="ab", cutoff=decision.as_of,
            as_of=decision.as_of, decision=decision.id, previous_build=champion.build if champion else None,
        )
    )  # fmt: skip


def clean_up(world: World, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`evergreen gc` as a process of its own."""
    code = "import sys; from evergreen.cli import main; sys.argv = ['evergreen', 'gc', *sys.argv[1:]]; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=world.root, env=os.environ | env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@cache
def _original() -> World:
    root = Path(tempfile.mkdtemp(prefix="evergreen-gc-")).resolve()
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    config = "[core]\n    remote = local\n['remote \"local\"']\n    url = ../.evergreen/dvc/remote\n"
    for folder, text in ((root, SMALL), (root / "other", SMALL.replace("name: small", "name: other"))):
        (folder / ".dvc").mkdir(parents=True)
        (folder / ".dvc" / "config").write_text(config)
        (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
        (folder / "params.yaml").write_text(text)
        (folder / "dvc.yaml").write_text(STAGES)
        (folder / ".dvcignore").write_text("__pycache__\n.evergreen\n")
    (root / ".gitignore").write_text(".evergreen/\n/data\n/build\n/other/data\n/other/build\n")
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "start"]):
        git(root, *command)
    project = Project.load(root)
    builds = {name: _build(project, name, as_of) for name, as_of in OPENED.items()}
    _build(Project.load(root / "other"), "rejected", day(10))  # the same rows as a build of `small` that expires
    clock.set_replay(project.home, NOW)
    promote(project, judge(project, builds["champion"], day(0), "promote"))
    for name, verdict in (
        ("rejected", "reject"),
        ("spoiled", "reject"),
        ("recent", "reject"),
        ("last", "inconclusive"),
    ):
        judge(project, builds[name], OPENED[name], verdict)
    return World(root, builds)


def _build(project: Project, content: str, as_of: datetime) -> str:
    build: Build = open_build(project, as_of)
    write_snapshot(build, content)
    add_snapshot(build)
    if content != "unfinished":
        dvc(build, "repro", "--quiet")
        commit_build(build)
        bundle = project.home.models(project.name) / build.id / "model.pkl"
        bundle.parent.mkdir(parents=True)
        bundle.write_text(f"the model of {content}")
    return build.id
