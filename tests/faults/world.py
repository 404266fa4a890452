"""One prepared world: a clone with its lake, builds and MLflow, run through two cycles once and put back at will.

The first cycle makes a champion. The second brings drift, corrections, rows for quarantine and a refused file, scores
two weeks, alarms, and judges a second candidate, which is promoted. `world.at(step)` puts everything back to where a
step begins, and `world.undisturbed[step]` is what it did and left when nobody disturbed it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from evergreen.project import Project
from tests.data import small_tables, write_drops
from tests.faults.content import difference, files, is_first_record, is_hidden, mirror, pages, refs, rows
from tests.faults.runner import Runner, Started
from tests.faults.steps import DRIFT, FIRST, NAMES, SECOND, STEPS
from tests.faults.tracking import Mlflow
from tests.pipeline.conftest import IDENTITY, clone_repository


class Undisturbed(NamedTuple):
    """What a step did when nobody disturbed it, and what was there before and after."""

    code: int
    out: str
    heard: list[list[str]]
    before: dict[str, str]
    after: dict[str, str]
    grown: int  # bytes of the pages that it took


@dataclass
class World:
    """The clone at `base/clone`; `base/states` holds what it is put back to."""

    base: Path
    runner: Runner
    mlflow: Mlflow
    undisturbed: dict[str, Undisturbed] = field(default_factory=dict)
    first: str = ""  # the first cycle's build
    view: str = ""  # where its processes' root folder is seen from here

    @property
    def here(self) -> Path:
        """The main checkout as this process sees it."""
        return Path(f"{self.view}{self.root}")

    @property
    def root(self) -> Path:
        """The main checkout."""
        return self.base / "clone"

    @property
    def project(self) -> Project:
        """The small use case."""
        return Project.load(self.root, self.root / ".evergreen")

    @property
    def lake(self) -> Path:
        """Its lake."""
        return self.root / ".evergreen" / "lake" / "small"

    @property
    def build(self) -> str:
        """The second cycle's build."""
        return self.undisturbed["snapshot"].out.strip()

    @property
    def worktree(self) -> Path:
        """The second build's worktree."""
        return self.root / ".evergreen" / "builds" / "small" / self.build

    @property
    def decision(self) -> str:
        """The second cycle's decision."""
        found: str = json.loads(self.undisturbed["gate"].out)["decision"]
        return found

    @property
    def env(self) -> dict[str, str]:
        """The environment of a command."""
        return os.environ | IDENTITY | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "EVERGREEN_HOME": str(self.root / ".evergreen"),
            "MLFLOW_TRACKING_URI": self.mlflow.uri,
        }  # fmt: skip

    def start(self, step: str, heard: Path | None = None, **env: str) -> Started:
        """Start a step's command."""
        found = STEPS[NAMES.index(step)]
        arguments = [self._filled(argument) for argument in found.arguments]
        place = {"EVERGREEN_PROJECT": str(self.worktree), "EVERGREEN_BUILD": self.build} if found.in_build else {}
        cwd = self.worktree if found.in_build else self.root
        return self.runner.start(arguments, self.env | place | env, cwd, heard)

    def disturbed(self, step: str, point: str, happens: Callable[[], object], **env: str) -> Started:
        """Start a step's command, let something happen while it stands at a point, and let it go on."""
        running = self.start(step, **env, **self.armed(point))
        assert running.wait() is None, "stopped"
        happens()
        os.kill(running.pid, signal.SIGCONT)
        return running

    def begin(self, *arguments: str, **env: str) -> Started:
        """Start another command in the main checkout."""
        return self.runner.start(list(arguments), self.env | env, self.root)

    def command(self, *arguments: str, **env: str) -> Started:
        """Run another command in the main checkout and wait for it."""
        started = self.begin(*arguments, **env)
        started.wait()
        return started

    def armed(self, point: str, action: str = "stop") -> dict[str, str]:
        """The variables by which whoever comes by a point first is stopped or killed there."""
        folder = self.base / "armed"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / point).write_text(action)
        return {"EVERGREEN_FAULTS": str(folder)}

    def reached(self, point: str, seconds: float = 120) -> int:
        """The process that was stopped at a point, once it is there; it may be nobody's child here."""
        place, deadline = self.base / "armed" / f"{point}.reached", time.monotonic() + seconds
        while not place.exists():
            assert time.monotonic() < deadline, f"nobody came by {point}"
            time.sleep(0.02)
        return int(place.read_text())

    def run(self, step: str, **env: str) -> Started:
        """Run a step to its undisturbed end."""
        started = self.start(step, **env)
        code = started.wait()
        assert code == self.undisturbed[step].code, started.out[-3000:] + started.err[-3000:]
        return started

    def at(self, step: str) -> None:
        """Put everything back to where a step begins."""
        state = self.base / "states" / step
        mirror(state / "clone", self.here)
        self.mlflow.restore(state)

    def content(self) -> dict[str, str]:
        """All that matters, by place, in a form that is equal where two runs did the same."""
        return files(self.here) | refs(self.here) | rows(self.here / ".evergreen" / "ledger.db") | self.mlflow.content()

    def half_made(self, step: str) -> dict[str, str]:
        """Files that others see, and that are neither what was there before the step nor what it makes."""
        before, after = self.undisturbed[step].before, self.undisturbed[step].after
        return {
            place: sha
            for place, sha in files(self.here).items()
            if sha not in (before.get(place), after.get(place))
            and not is_hidden(place)
            # A build's record has no snapshot yet, then one.
            and not (re.fullmatch(r".*/builds/small/[^/]+\.json", place) and is_first_record(self.here / place))
        }

    def learn(self, step: str) -> None:
        """Keep the present as the place where `step` begins, and run it undisturbed."""
        self.save(step)
        before, heard = self.content(), self.base / f"{step}.heard"
        size, started = pages(self.root), self.start(step, heard)
        code = started.wait()
        assert code == (1 if step == "validate" else 0), started.out[-3000:] + started.err[-3000:]
        told = json.loads(heard.read_text())
        self.undisturbed[step] = Undisturbed(code, started.out, told, before, self.content(), pages(self.root) - size)

    def _filled(self, argument: str) -> str:
        if argument == "{first}":
            return self.first
        return {"{build}": lambda: self.build, "{decision}": lambda: self.decision}.get(argument, lambda: argument)()

    def save(self, step: str) -> None:
        """Keep the present as the place where `step` begins."""
        state = self.base / "states" / step
        state.mkdir(parents=True)
        mirror(self.root, state / "clone")
        self.mlflow.save(state)


_made: list[World] = []


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world with both cycles run, each step kept: one for all modules that import this fixture."""
    if not _made:
        base = tmp_path_factory.mktemp("faults")
        new = World(base, Runner(base), Mlflow(base / "mlflow"))
        request.config.add_cleanup(new.runner.close)
        request.config.add_cleanup(new.mlflow.stop)
        new.mlflow.start()
        _prepare(new)
        _made.append(new)
    return _made[0]


def _prepare(world: World) -> None:
    clone_repository(world.root)
    write_drops(world.root / "drops", days=DRIFT + 30, until=42, drift_from=DRIFT)
    first = ("--as-of", FIRST.isoformat())
    for arguments in (("ingest", *first), ("validate",), ("snapshot", *first)):
        _done(world.command(*arguments))
    world.first = _done(world.command("build", "snapshot", FIRST.isoformat())).out.strip()
    _done(world.command("build", "evaluate", world.first))
    world.learn("first track")
    judged = json.loads(_done(world.command("gate", world.first, *first)).out)
    assert json.loads(_done(world.command("promote", judged["decision"])).out)["promoted"], judged
    _second_drops(world.root / "drops")
    for step in NAMES[1:]:
        if step == "track":  # what ran by itself until here is run by DVC, as a retrain does
            _done(world.command("build", "evaluate", world.build))
        world.learn(step)
    world.save("end")


def _second_drops(folder: Path) -> None:
    """Two more weeks, a correction of old outcomes, rows that break the contract, and a file that is refused."""
    write_drops(folder, days=DRIFT + 30, until=56, drift_from=DRIFT)
    tables = small_tables(DRIFT + 30, drift_from=DRIFT)
    late = tables["outcomes"].iloc[1200:1240].assign(late=lambda frame: frame["late"] + 1)
    odd = tables["jobs"].iloc[1700:1740].assign(id=lambda frame: frame["id"] + 100_000)
    odd.loc[odd.index[3], "size"] = 5000.0
    refused = tables["jobs"].iloc[1740:1760].assign(id=None)
    for name, frame in (("outcomes-corrected", late), ("jobs-odd", odd), ("jobs-refused", refused)):
        text = frame.assign(due=frame["due"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_csv(index=False)
        (folder / f"{name}.csv").write_text(text)


def _done(started: Started) -> Started:
    assert not started.err.count("Traceback"), started.err[-3000:]
    assert not started.err.startswith("evergreen:"), started.err
    return started


__all__ = ["DRIFT", "NAMES", "SECOND", "STEPS", "World", "difference", "files", "world"]
