"""MLflow dies: training and scoring go on, nothing is promoted, and a later run completes what is missing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from tests.faults.world import SECOND, World, difference, files, world

Told = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def mlflow_again(world: World) -> Iterator[None]:
    """The server is there before and after."""
    yield
    if not world.mlflow.uri:
        world.mlflow.start()


def test_it_dies_while_a_model_trains(world: World, record_property: Told) -> None:
    record_property("drill", "MLflow killed in the middle of train")
    record_property("outcome", "train goes on, with one warning; its bytes as undisturbed")
    world.at("train")
    training = world.start("train", **world.armed("train.model"))
    assert training.wait() is None, "stopped"
    world.mlflow.stop()
    os.kill(training.pid, signal.SIGCONT)
    assert training.wait() == 0, training.err
    wanted = {place: sha for place, sha in world.undisturbed["train"].after.items() if place[0] == "."}
    assert difference({place: sha for place, sha in files(world.root).items() if place[0] == "."}, wanted) == {}


def test_it_dies_while_a_build_is_tracked_and_stays_away(world: World, record_property: Told) -> None:
    record_property("drill", "MLflow killed in the middle of track, and away for gate, promote and score")
    record_property(
        "outcome", "said, nothing promoted, scoring goes on; back again, the same run, decision and promotion"
    )
    world.at("track")
    away = world.env["MLFLOW_TRACKING_URI"]
    tracking = world.start("track", **world.armed("track.logged"))
    assert tracking.wait() is None, "stopped"
    world.mlflow.stop()
    os.kill(tracking.pid, signal.SIGCONT)
    assert tracking.wait() == 1
    assert tracking.err.splitlines()[-1].startswith("When that is mended, run the task again"), tracking.err
    again = world.start("track", MLFLOW_TRACKING_URI=away)
    assert again.wait() == 1
    assert again.err.startswith(f"evergreen: MLflow at {away} does not answer")
    assert "only MLflow is missing" in again.err

    world.run("gate", MLFLOW_TRACKING_URI=away)
    promoting = world.start("promote", MLFLOW_TRACKING_URI=away)
    assert promoting.wait() == 1
    assert "does not answer" in promoting.err
    ledger = {place for place in world.content() if place.startswith("ledger promotions")}
    assert ledger == {"ledger promotions 0"}, "nothing is promoted"
    later = (SECOND + timedelta(hours=20)).isoformat()
    scored = world.command("score", "--as-of", later, MLFLOW_TRACKING_URI=away)
    assert f'"{world.first}": ' in scored.out, "the champion at hand goes on"

    world.mlflow.start()
    for step in ("track", "gate", "promote"):
        world.run(step)
    wrong = difference(world.content(), world.undisturbed["promote"].after)
    assert [place for place in wrong if "/predictions/" not in place] == []


__all__ = ["world"]
