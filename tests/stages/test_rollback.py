"""`rollback`: champion and previous swap, the ledger first, and no verdict undoes it by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from evergreen.clock import set_replay
from evergreen.errors import EvergreenError, RegistryError
from evergreen.ledger import Ledger
from evergreen.registry.models import aliases
from evergreen.stages.promote import promote, reconcile
from evergreen.stages.rollback import RollbackResult, rollback
from tests.servers import free_port
from tests.stages.verdicts import FIRST, NAME, WEEK, Candidates, candidates, register

LATER = FIRST + 2 * WEEK
WHY = "it sends everybody to the wrong gate"


def back(candidates: Candidates, to: str | None = None, reason: str = WHY, weeks: int = 2) -> RollbackResult:
    return rollback(candidates.project, reason, "ann", FIRST + weeks * WEEK, to)


@pytest.fixture
def two(candidates: Candidates) -> Candidates:
    """`one` was champion, then `two`."""
    candidates.crown("one")
    candidates.crown("two", FIRST + WEEK)
    return candidates


def test_champion_and_previous_swap(two: Candidates) -> None:
    result = back(two)
    assert (result.build, result.previous, result.reason) == ("one", "two", WHY)
    champion = two.ledger.champion(NAME)
    assert champion is not None
    assert (champion.build, champion.as_of, champion.cutoff, champion.previous_build) == ("one", LATER, FIRST, "two")
    before = two.ledger.champion(NAME, LATER - timedelta(seconds=1))
    assert before is not None
    assert before.build == "two", "what was is not rewritten"
    decision = two.ledger.decision(result.decision)
    assert (decision.kind, decision.verdict, decision.build, decision.actor) == ("rollback", "promote", "one", "ann")
    assert decision.inputs["champion"]["build"] == "two"
    again = back(two, reason="it was the feed", weeks=3)
    assert (again.build, again.previous) == ("two", "one")


def test_with_the_same_reason_it_is_the_same_rollback(two: Candidates) -> None:
    first = back(two)
    assert back(two, weeks=3) == first
    assert back(two, to="one") == first
    assert len(two.ledger.promotions(NAME)) == 3
    with pytest.raises(EvergreenError, match="one is the champion already, as of 2024-02-12"):
        back(two, to="one", reason="another one")


def test_to_an_earlier_version_by_its_number(candidates: Candidates, register: Callable[[str], int]) -> None:
    versions = [register(build) for build in ("one", "two", "three")]
    for number, build in enumerate(("one", "two", "three")):
        candidates.crown(build, FIRST + number * WEEK)
    result = back(candidates, to=str(versions[0]), weeks=3)
    assert (result.build, result.version) == ("one", versions[0])
    assert aliases(NAME) == {"champion": versions[0], "previous": versions[2]}


def test_what_cannot_be_rolled_back_says_why(candidates: Candidates) -> None:
    with pytest.raises(EvergreenError, match="`promoted` has no champion yet"):
        back(candidates)
    candidates.crown("one")
    with pytest.raises(EvergreenError, match="one is the first champion of `promoted`: there is none before it"):
        back(candidates)
    candidates.crown("two", FIRST + WEEK)
    with pytest.raises(EvergreenError, match="a rollback needs a reason"):
        back(candidates, reason="  ")
    with pytest.raises(EvergreenError, match="`12` was never champion of `promoted`; known: two, one"):
        back(candidates, to="12")
    with pytest.raises(EvergreenError, match=r"cannot be rolled back as of 2024-01-29.*the past is not rewritten"):
        back(candidates, weeks=0)
    assert candidates.champion() == "two"
    assert {one.kind for one in candidates.ledger.decisions(NAME)} == {"gate"}


@pytest.mark.parametrize("file", ["model.pkl", "bundle.json"])
def test_an_altered_model_is_not_gone_back_to(two: Candidates, file: str) -> None:
    place = two.project.home.models(NAME) / "one" / file
    place.write_bytes(place.read_bytes() + b" ")
    with pytest.raises(RegistryError, match="not what was"):
        back(two)
    assert two.champion() == "two"
    assert {one.kind for one in two.ledger.decisions(NAME)} == {"gate"}


def test_the_champion_may_be_what_is_broken(two: Candidates) -> None:
    (two.project.home.models(NAME) / "two" / "bundle.json").unlink()
    assert back(two).build == "one"


def test_a_verdict_does_not_bring_back_what_was_rolled_back(two: Candidates) -> None:
    decision = two.ledger.decisions(NAME)[0].id
    back(two)
    refused = promote(two.project, decision)
    assert not refused.promoted
    assert refused.reason.startswith(f"it was rolled back as of 2024-02-12T08:00:00Z by ann: {WHY}. A person may")
    assert f"`evergreen promote {decision} --force`" in refused.reason
    assert two.champion() == "one"

    set_replay(two.project.home, FIRST + 3 * WEEK)
    forced = promote(two.project, decision, forced_by="bob")
    assert (forced.promoted, forced.build, forced.previous) == (True, "two", "one")
    recorded = two.ledger.decisions(NAME)[0]
    assert (recorded.kind, recorded.actor) == ("approval", "bob")
    assert recorded.inputs["despite"] == two.ledger.decisions(NAME)[1].id
    assert promote(two.project, decision).promoted, "it is no longer what was rolled back"
    assert promote(two.project, decision, forced_by="bob") == forced
    assert len(two.ledger.promotions(NAME)) == 4

    back(two, reason="again", weeks=4)
    assert not promote(two.project, decision).promoted, "a force is for one rollback"


def test_nor_another_build_with_the_same_bytes(two: Candidates) -> None:
    back(two)
    same = two.judge("again", LATER, model="two")
    refused = promote(two.project, same)
    assert refused.reason.startswith("two, whose model is the same byte for byte, was rolled back as of 2024-02-12")
    better = two.judge("three", LATER)
    assert promote(two.project, better).promoted
    assert not promote(two.project, same, forced_by="bob").promoted, "the gate compared it with `one`"


def test_forced_it_is_promoted(two: Candidates) -> None:
    back(two)
    same = two.judge("again", LATER, model="two")
    assert promote(two.project, same, forced_by="bob").build == "again"


def test_rolling_forward_is_a_persons_decision(two: Candidates) -> None:
    decision = two.ledger.decisions(NAME)[0].id
    back(two)
    back(two, to="two", reason="the feed was wrong, not the model", weeks=3)
    assert two.champion() == "two"
    assert promote(two.project, decision).promoted
    assert len(two.ledger.promotions(NAME)) == 4


@pytest.mark.parametrize("place", ["rollback.decided", "promote.recorded", "promote.champion"])
@pytest.mark.parametrize("then", ["rollback", "promote", "reconcile"])
def test_killed_half_way_the_next_run_finishes(
    candidates: Candidates, register: Callable[[str], int], place: str, then: str
) -> None:
    one, two = register("one"), register("two")
    first = candidates.crown("one")
    candidates.crown("two", FIRST + WEEK)
    command = [str(Path(sys.executable).parent / "evergreen"), "rollback", "--reason", WHY, "--as-of", str(LATER)]
    killed = {**os.environ, "EVERGREEN_KILL_AT": place}
    run = subprocess.run(command, env=killed, cwd=candidates.project.root, check=False)
    assert run.returncode == -signal.SIGKILL
    if then == "rollback":
        assert subprocess.run(command, cwd=candidates.project.root, check=False, capture_output=True).returncode == 0
    elif then == "promote":
        promote(candidates.project, first)
    else:
        reconcile(candidates.project)
    assert aliases(NAME) == {"champion": one, "previous": two}
    ledger = Ledger.open(candidates.project.home)
    assert [promotion.build for promotion in ledger.promotions(NAME)] == ["one", "two", "one"]
    assert [decision.kind for decision in ledger.decisions(NAME)] == ["rollback", "gate", "gate"]


def test_with_mlflow_away_it_is_rolled_back_and_the_aliases_follow(
    candidates: Candidates, register: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = register("one"), register("two")
    candidates.crown("one")
    candidates.crown("two", FIRST + WEEK)
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(RegistryError, match="the ledger has the new champion, only the aliases are missing"):
            back(candidates)
    assert candidates.champion() == "one"
    assert aliases(NAME) == {"champion": two, "previous": one}
    assert back(candidates).version == one
    assert aliases(NAME) == {"champion": one, "previous": two}


def test_a_version_deleted_from_mlflow_is_not_gone_back_to(
    candidates: Candidates, register: Callable[[str], int], mlflow_uri: str
) -> None:
    one = register("one")
    register("two")
    candidates.crown("one")
    candidates.crown("two", FIRST + WEEK)
    MlflowClient(mlflow_uri).delete_model_version(NAME, str(one))
    with pytest.raises(RegistryError, match="no version of the build one, so nothing was rolled back: run `evergreen"):
        back(candidates)
    assert candidates.champion() == "two"
    again = register("one")
    assert back(candidates).version == again
    assert aliases(NAME)["champion"] == again


__all__ = ["candidates", "register"]
