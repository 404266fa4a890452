"""A backtest of a number and of several classes: their losses, and the monitor and the gate of their kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evergreen.backtest.run import backtest, page_of
from evergreen.params.gate import Gate
from evergreen.project import Project
from tests.backtest.test_like_the_loop import replayed
from tests.backtest.worlds import COST, END, world

LABELS = {
    "regression": "value: late, kind: regression",
    "multiclass": "kind: multiclass, classes: [none, short, long], "
    "value: case when late > 20 then 'long' when late > 5 then 'short' else 'none' end",
}


def of(kind: str, folder: Path) -> Project:
    """The world with a label of this kind in place of whether a job is more than ten minutes late."""
    project = world(folder)
    path = project.root / "params.yaml"
    text = path.read_text()
    for old, new in (("value: late > 10}", f"{LABELS[kind]}}}"), ("floor: {roc_auc: 0.5}, ", ""), (COST, "")):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return Project.load(project.root)


@pytest.mark.parametrize(("kind", "names"), [("regression", ["mae", "mse"]), ("multiclass", ["log_loss", "brier"])])
def test_policies_are_compared_by_the_losses_of_the_kind(tmp_path: Path, kind: str, names: list[str]) -> None:
    project = of(kind, tmp_path)
    found = backtest(project, END, processes=1)
    assert list(found.measures) == names
    assert found.gate_metric == names[0]
    assert found.positives is None
    weekly, never = (next(one for one in found.policies if one.name == name) for name in ("weekly", "never"))
    assert weekly.counts.retrains == 3
    assert weekly.total.against_never[names[0]].value < 0, "the last two weeks drift"
    triggers = [one for one in found.policies if one.name == "triggers"]
    assert all(one.alarms for one in triggers), "and the monitor sees it"
    assert "skill" in triggers[0].retrains[0].because

    scene, served = replayed(project, tmp_path / "cache", never_of(project))
    rows = scene.served(scene.start, scene.end)
    y, p = scene.history.meta["_label"].to_numpy()[rows], served.p[rows]
    losses = np.abs(p - y) if kind == "regression" else -np.log(p[np.arange(len(p)), y.astype(int)])
    assert never.total.measures[names[0]].value == pytest.approx(losses.mean(), rel=0.02)  # a mean of resamples

    page = page_of(project).read_text()
    assert found.measures[names[0]].title in page
    assert "positive" not in page
    assert Gate().metric_of(project.params.prediction.label.kind) == names[0]


def never_of(project: Project):
    from evergreen.backtest.policies import policies

    return next(one for one in policies(project.params.backtest) if one.retrain == "never")
