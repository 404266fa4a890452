"""Projects to replay: the world of tests/stages/served.py, nine weeks of which the last two drift, week by week."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from evergreen.clock import format_time
from evergreen.project import Project
from tests.data import day
from tests.stages.served import DAYS, TRAINED, open_world

END = day(DAYS + 2)  # every label is known
EVALUATION = "evaluation: {"  # of conftest's small project
COST = "cost: {false_negative: 5, false_positive: 1}, "
START = f"{day(TRAINED):%Y-%m-%d}"
FIRST = date.fromisoformat(START)


def command(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """`evergreen backtest` of a project, as of the end of its world."""
    from evergreen.cli import app

    monkeypatch.setenv("EVERGREEN_PROJECT", str(project.root))
    run = CliRunner().invoke(app, ["backtest", "--as-of", format_time(END), *arguments], catch_exceptions=False)
    assert run.exit_code == 0
    return run


def world(folder: Path, settings: str = f"period: week, start: '{START}', policies: [weekly, triggers]") -> Project:
    """A copy of the world with a section `backtest`."""
    project = open_world(folder).project
    path = project.root / "params.yaml"
    text = path.read_text()
    assert EVALUATION in text
    text = text.replace(EVALUATION, EVALUATION + COST)
    path.write_text(f"{text}\nbacktest: {{{settings}, resamples: 200}}\n")
    return Project.load(project.root)
