"""A replayed model is the one that `train` would make: with what a search chose, and of the packages that are there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from evergreen.backtest.history import read_history
from evergreen.backtest.run import backtest
from evergreen.errors import EvergreenError
from evergreen.project import Project
from evergreen.training.chosen import NONE, SearchRecord
from tests.backtest.worlds import END, START, world
from tests.data import day

ONLY = f"period: week, start: '{START}', policies: [never]"


def test_what_a_search_chose_is_replayed_and_said(tmp_path: Path) -> None:
    project = world(tmp_path, ONLY)
    path = project.root / "params.yaml"
    text = path.read_text()
    by_hand = backtest(_with(project, text.replace("max_iter: 20", "max_iter: 3")), END, processes=1)
    searched = _with(project, text.replace("search: {space: {}}", "search: {space: {max_iter: [3, 5]}}"))
    SearchRecord(
        method="grid", estimator="hist_gradient_boosting", space=searched.params.search.space_as_json(),
        cutoff=day(28), chosen={"max_iter": 3}, best=1,
    ).write(project.search)  # fmt: skip

    found = backtest(searched, END, processes=1)

    assert found.policies == by_hand.policies
    assert any("A search chose max_iter on labels known by 2024-01-29" in note for note in found.notes)
    with pytest.raises(EvergreenError, match=r"search\.json does not go with params\.yaml"):
        backtest(_with(project, text), END, processes=1)
    NONE.write(project.search)
    assert backtest(_with(project, text), END, processes=1).policies != found.policies


def test_another_version_of_the_estimators_own_package_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = world(tmp_path / "world", ONLY)
    path = project.root / "params.yaml"
    training = "training: {estimator: lightgbm, options: {}, min_labels: 50}"
    text = path.read_text()
    start = text.index("training: {estimator")
    lightgbm = _with(project, text.replace(text[start : text.index("\n", start)], training))
    before = read_history(lightgbm, END, tmp_path / "cache").key
    assert read_history(lightgbm, END, tmp_path / "cache").key == before
    installed = tmp_path / "site" / "lightgbm-99.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: lightgbm\nVersion: 99.0\n")
    monkeypatch.syspath_prepend(installed.parent)
    assert read_history(lightgbm, END, tmp_path / "cache").key != before


def _with(project: Project, text: str) -> Project:
    (project.root / "params.yaml").write_text(text)
    return dataclasses.replace(Project.load(project.root), home=project.home)
