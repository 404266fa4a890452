"""Two at once: one waits for the other or finds what it did, and the end is that of one undisturbed run."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from evergreen.ledger import Ledger
from tests.data import day
from tests.faults.world import SECOND, World, difference, files, world

Told = Callable[[str, object], None]


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ("ingest", "ingest.before_commit"),
        ("validate", "validate.record"),
        ("score", "score.placed"),
        ("monitor", "monitor.drift"),
        ("snapshot", "build.checked_out"),
        ("track", "track.model"),
        ("gate", "gate.evidence"),
        ("promote", "promote.recorded"),
        ("rollback", "rollback.decided"),
    ],
)
def test_two_of_a_stage(world: World, step: str, place: str, record_property: Told) -> None:
    record_property("drill", f"two of {step} at once, the first held up at {place}")
    record_property("outcome", "both succeed; together they leave what one leaves")
    world.at(step)
    first = world.start(step, **world.armed(place))
    assert first.wait() is None, "stopped"
    second = world.start(step, **world.armed("lock.waits"))
    assert second.wait() is None, f"it does not wait for the first: {second.out}{second.err}"
    for one in (first, second):
        os.kill(one.pid, signal.SIGCONT)
    expected = world.undisturbed[step].code
    assert (first.wait(), second.wait()) == (expected, expected), first.err + second.err
    assert difference(world.content(), world.undisturbed[step].after) == {}


def test_three_retrains(world: World, record_property: Told) -> None:
    record_property("drill", "three retrains at once: two on one snapshot, one on another")
    record_property(
        "outcome", "each build's bytes as undisturbed, one MLflow run each, one promoted against each champion"
    )
    world.at("snapshot")
    moments = (SECOND, SECOND + timedelta(minutes=1), day(55))
    running = [world.begin("build", "retrain", moment.isoformat()) for moment in moments]
    assert [one.wait() for one in running] == [0, 0, 0], "".join(one.err for one in running)

    ledger, project = Ledger.open(world.project.home), world.project
    builds = [f"{moment:%Y%m%dT%H%M}-{world.build[-7:]}" for moment in moments]
    assert builds[0] == world.build
    decisions = {decision.build: decision for decision in ledger.decisions(project.name)}
    assert set(decisions) == {world.first, *builds}
    made, wanted = files(world.root), world.undisturbed["track"].after
    place = f".evergreen/builds/small/{world.build}/"
    mine = {name: sha for name, sha in made.items() if name.startswith(place)}
    assert difference(mine, {name: sha for name, sha in wanted.items() if name.startswith(place)}) == {}
    locks = [(project.home.builds("small") / build / "dvc.lock").read_bytes() for build in builds]
    assert locks[0] == locks[1] != locks[2]
    runs = [text for name, text in world.mlflow.content().items() if name.endswith(builds[0])]
    assert runs == ["FINISHED active"]
    _assert_one_line_of_champions(world, ledger)


def _assert_one_line_of_champions(world: World, ledger: Ledger) -> None:
    """Each promotion follows the champion that its decision judged, and the registry says the same."""
    promotions = list(reversed(ledger.promotions("small")))
    assert len(promotions) > 1
    for before, after in pairwise(promotions):
        assert after.previous_build == before.build
        assert ledger.decision(after.decision).inputs["champion"]["build"] == before.build
    told = world.mlflow.content()
    assert told["mlflow alias small champion"] == str(promotions[-1].version)
    assert told["mlflow alias small previous"] == str(promotions[-2].version)
    assert len([name for name in told if name.startswith("mlflow version small")]) == 4
    answered = [request.answered_by for request in ledger.requests("small")]
    assert answered
    assert all(answered), json.dumps(answered)


__all__ = ["world"]
