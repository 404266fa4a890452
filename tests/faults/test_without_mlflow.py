"""MLflow dies: training and scoring go on, nothing is promoted, and a later run completes what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from mlflow import MlflowClient

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
    training = world.disturbed("train", "train.model", world.mlflow.stop)
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
    tracking = world.disturbed("track", "track.logged", world.mlflow.stop)
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


def test_it_dies_between_the_promotion_and_its_aliases(world: World, record_property: Told) -> None:
    record_property("drill", "MLflow killed when the ledger has the promotion, before the aliases are set")
    record_property("outcome", "said; the champion scores; back again, the aliases, and one promotion")
    world.at("promote")
    away = world.env["MLFLOW_TRACKING_URI"]
    promoting = world.disturbed("promote", "promote.recorded", world.mlflow.stop)
    assert promoting.wait() == 1
    assert "does not answer" in promoting.err
    assert "only the aliases are missing" in promoting.err
    later = (SECOND + timedelta(hours=20)).isoformat()
    scored = world.command("score", "--as-of", later, MLFLOW_TRACKING_URI=away)
    assert f'"{world.build}": ' in scored.out, "the ledger says who is champion"
    world.mlflow.start()
    world.run("promote")
    wrong = difference(world.content(), world.undisturbed["promote"].after)
    assert [place for place in wrong if "/predictions/" not in place] == []


def test_somebody_deletes_versions_by_hand(world: World, record_property: Told) -> None:
    record_property("drill", "the champion's version deleted in MLflow; later that of its successor")
    record_property(
        "outcome", "gate, promote and score go on; what cannot be an alias is named; tracked again, it is one"
    )
    world.at("gate")
    client = MlflowClient(world.mlflow.uri)
    client.delete_model_version("small", "1")
    gate = world.run("gate")
    assert f"run `evergreen track {world.first}`" in gate.err, "said, and no reason to judge nobody"
    world.run("promote")
    assert client.get_registered_model("small").aliases == {"challenger": "2", "champion": "2"}

    client.delete_model_version("small", "2")
    again = world.start("promote")
    assert again.wait() == 1
    assert f"MLflow has no version of the champion {world.build} any more, which was version 2" in again.err
    later = (SECOND + timedelta(hours=20)).isoformat()
    assert f'"{world.build}": ' in world.command("score", "--as-of", later).out, "from the stored bundle"
    world.run("track")
    world.run("promote")
    assert client.get_registered_model("small").aliases == {"challenger": "3", "champion": "3"}
    after = world.undisturbed["promote"].after
    ledger = {place: row for place, row in world.content().items() if place.startswith("ledger")}
    assert difference(ledger, {place: row for place, row in after.items() if place.startswith("ledger")}) == {}


__all__ = ["world"]
