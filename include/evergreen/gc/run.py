"""A clean-up: kind by kind what can go, and with `free` its end."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from evergreen.errors import EvergreenError
from evergreen.faults import point
from evergreen.gc.catalog import KINDS
from evergreen.gc.kinds import Item, Kind
from evergreen.gc.scene import Scene
from evergreen.locks import attempt
from evergreen.params.retention import Retention
from evergreen.project import Project

# One kind's: a file that may not be read, a database that is locked or of another version, a command that hangs.
PROBLEMS = (EvergreenError, OSError, sqlite3.Error, subprocess.TimeoutExpired)
Progress = Callable[[str, int, int], None]  # the kind, how many are done, of how many


class Freed(BaseModel):
    """One kind: what can go, or went. Sizes are bytes; MLflow's and Airflow's databases use theirs again."""

    model_config = ConfigDict(frozen=True)

    kind: str
    why: str
    count: int
    size: int
    left: int = 0  # in use, or needed by now
    problem: str | None = None  # why this kind could not be looked at, or not be freed whole


def find(project: Project, retention: Retention, progress: Progress = lambda *_: None) -> list[Freed]:
    """What can go, kind by kind; nothing is changed."""
    scene, found = Scene.of(project, retention), []
    for kind in KINDS:
        progress(kind.name, 0, 0)
        try:
            found.append(_said(kind, kind.find(scene)))
        except PROBLEMS as error:
            found.append(_said(kind, [], problem=str(error)))
    return found


def free(project: Project, retention: Retention, progress: Progress = lambda *_: None) -> list[Freed]:
    """Free what can go; what is in use stays, and one kind's problem keeps no other from its turn.

    Raises EvergreenError where another clean-up of this home runs.
    """
    with attempt(project.home, "gc") as mine:
        if not mine:
            raise EvergreenError("another `evergreen gc` is at it: wait for it")
        scene = replace(Scene.of(project, retention), dry=False)
        return [_free(kind, scene, progress) for kind in KINDS]


def _free(kind: Kind, scene: Scene, progress: Progress) -> Freed:
    done: list[Item] = []
    items: list[Item] = []
    progress(kind.name, 0, 0)
    try:
        items = kind.find(scene)
        for item in kind.free(scene, items) if items else ():
            done.append(item)
            point(f"gc.{kind.name}")
            progress(kind.name, len(done), len(items))
    except PROBLEMS as error:
        return _said(kind, done, len(items) - len(done), str(error))
    return _said(kind, done, len(items) - len(done))


def _said(kind: Kind, items: Sequence[Item], left: int = 0, problem: str | None = None) -> Freed:
    size = sum(item.size for item in items)
    return Freed(kind=kind.name, why=kind.why, count=len(items), size=size, left=left, problem=problem)
