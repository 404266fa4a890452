"""An empty lake, through the command line: every command says in a sentence where it stands and what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from evergreen.cli import main
from evergreen.project import Project
from evergreen.stages.retrain import begin
from tests.data import day

AT = ("--as-of", "2024-01-01T05:00Z")


@pytest.fixture
def run(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(make_project().root)

    def evergreen(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evergreen", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return evergreen


def answer(out: str) -> dict[str, Any]:
    return json.loads(out)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("snapshot", *AT), "no row of `jobs` was known at 2024-01-01T05:00:00Z: ingest and validate it, or choose a"),
        (("features",), "snapshot.json is missing: take a snapshot with `evergreen snapshot`"),
        (("train",), "features.parquet is missing; make it with `dvc repro`, or `evergreen features` for features"),
        (("evaluate",), "training.json is missing; run `dvc repro`, or `evergreen train` first"),
    ],
)
def test_what_needs_rows_says_that_there_are_none(
    run: Callable[..., tuple[int, str, str]], command: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("evergreen: ")
    assert said in err


def test_what_can_go_on_does_and_says_why_it_did_nothing(run: Callable[..., tuple[int, str, str]]) -> None:
    for command in (("ingest", "jobs", *AT), ("validate", "jobs")):
        code, out, _ = run(*command)
        assert code == 0
        assert answer(out)["rows"] == 0
    code, out, _ = run("score", *AT)
    assert (code, answer(out)["reason"]) == (0, "no champion yet: 0 rows lie before the first promotion")
    code, out, _ = run("monitor", *AT)
    assert (code, answer(out)["text"]) == (0, "no champion at 2024-01-01T05:00:00Z: nothing to monitor")
    code, out, _ = run("status")
    assert code == 0
    assert "newest none" in out


def test_a_retrain_ends_with_its_reason(make_project: Callable[..., Project]) -> None:
    found = begin(make_project(), day(0))
    assert not found.run
    assert found.reason == (
        "no label is known at 2024-01-01T05:00:00Z: ingest `outcomes` and look at what validate quarantined of it"
    )
