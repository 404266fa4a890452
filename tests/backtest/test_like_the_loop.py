"""A replay says what the real stages say: the same models, the same verdicts, the same monitored windows."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evergreen.backtest.fits import Fits
from evergreen.backtest.history import read_history
from evergreen.backtest.judge import Champion, judge
from evergreen.backtest.policies import Policy
from evergreen.backtest.replay import Replayed, Scene, replay
from evergreen.ledger import Ledger
from evergreen.monitoring.records import Reference
from evergreen.project import Project
from evergreen.stages.gate import gate
from evergreen.stages.monitor import monitor
from evergreen.stages.promote import promote
from evergreen.stages.score import score
from evergreen.training.artifacts import predict
from evergreen.training.frame import read_frame
from tests.backtest.worlds import END, world
from tests.data import day
from tests.stages.candidates import Candidates
from tests.stages.served import DAYS, TRAINED, open_scored_world

NUMBERS = ("rows", "positives", "rate", "mean_p", "bias", "log_loss", "skill", "roc_auc", "complete_days", "mature")


def replayed(project: Project, cache: Path, policy: Policy) -> tuple[Scene, Replayed]:
    history = read_history(project, END, cache)
    fits = Fits(history.features, cache / "fits", history.key, processes=1)
    zone = project.params.time_zone
    scene = Scene(history, fits, project.params, day(TRAINED), day(DAYS), history.days(zone))
    return scene, replay(scene, policy)


def test_the_loop_of_the_stages_makes_the_same_models_and_verdicts(tmp_path: Path) -> None:
    project = world(tmp_path)
    (project.root / ".gitignore").write_text(".evergreen/\n/data\n/build\n/drops\n")
    loop, ledger = Candidates(project), Ledger.open(project.home)
    verdicts, served = [], {}
    for week in range((DAYS - TRAINED) // 7):
        as_of = day(TRAINED + 7 * week)
        build = loop.make_from_lake(as_of)
        decision = gate(project, build, as_of, "test").decision
        promote(project, decision)
        verdicts.append(ledger.decision(decision))
        champion = ledger.champion("small")
        assert champion is not None
        served[as_of] = loop.bundle(champion.build)
    assert {one.verdict for one in verdicts} >= {"promote", "inconclusive"}, "the world has both"

    scene, found = replayed(project, tmp_path / "cache", Policy("weekly", "weekly", gated=True, expanding=True))

    assert [one.verdict for one in found.retrains] == [one.verdict for one in verdicts[1:]]
    for mine, theirs in zip(found.retrains, verdicts[1:], strict=True):
        assert _without_names(mine.reason) == _without_names(f"{theirs.verdict}: {theirs.reason}")
    weekly = found.policy
    first, second = (scene.candidate(weekly, day(number)) for number in (TRAINED, TRAINED + 7))
    said = judge(scene.history, scene.fits, second, Champion(first, day(TRAINED)))
    assert _rules([rule.model_dump(mode="json") for rule in said.rules]) == _rules(verdicts[1].inputs["rules"])
    frame = read_frame(scene.history.features, ["_key", "_time", *project.params.features.names()])
    for as_of, bundle in served.items():
        rows = scene.served(as_of, as_of + timedelta(days=7))
        np.testing.assert_array_equal(found.p[rows], predict(bundle.model(), frame.iloc[rows]))


def test_the_monitor_of_the_stages_measures_the_same_windows(tmp_path: Path) -> None:
    opened = open_scored_world(tmp_path)
    _, found = replayed(opened.project, tmp_path / "cache", Policy("triggers", "triggers"))
    assert found.retrains, "the drift of the last weeks alarms"
    until = found.retrains[0].as_of
    own = [one for one in found.records if one.end <= until]
    assert len(own) >= 2
    score(opened.project, day(DAYS), timedelta(days=DAYS - TRAINED))
    for mine in own:
        record = monitor(opened.project, mine.end).record
        assert record is not None
        theirs = {name: record[name] for name in NUMBERS}
        assert theirs == pytest.approx({name: getattr(mine, name) for name in NUMBERS}, rel=1e-9)
        assert mine.reference.sd == pytest.approx(record["reference"]["sd"], rel=1e-9)
        assert mine.reference == Reference.model_validate(record["reference"] | {"sd": mine.reference.sd})
        assert [rule["alarm"] for rule in record["rules"]] == [rule.alarm for rule in mine.rules]


def test_a_retrain_within_a_day_serves_every_row_from_its_moment_on(tmp_path: Path) -> None:
    """Its cut-off is the midnight that follows, and labels of rows that it serves are known by then."""
    path = world(tmp_path).root / "params.yaml"
    text = path.read_text().replace("known_at: due + interval 1 day", "known_at: due + interval 2 hours")
    path.write_text(text.replace("monitoring: {min_rows: 50}", "monitoring: {min_rows: 10, window: 36 hours}"))
    scene, found = replayed(Project.load(path.parent), tmp_path / "cache", Policy("triggers", "triggers"))
    assert any(one.as_of.astimezone(scene.params.zone).hour for one in found.retrains), "one stands at noon"
    assert np.isfinite(found.p[scene.served(scene.start, scene.end)]).all()


def _rules(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Each rule's outcome with its numbers, but for what the loop measures on its files and its machine."""
    return {rule["rule"]: (rule["passed"], rule["numbers"]) for rule in told if rule["rule"] not in ("size", "latency")}


def _without_names(reason: str) -> str:
    return re.sub(r"20\d\d[-\dT:Za-f]*", "<build>", json.dumps(reason))
