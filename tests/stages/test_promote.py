"""`promote`: the ledger first, the aliases after it, and nothing where MLflow is away or the model was altered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evergreen.errors import RegistryError
from evergreen.ledger import Decision
from evergreen.local.ports import OFFSETS
from evergreen.project import Project
from evergreen.registry.bundle import load_bundle
from evergreen.registry.models import aliases
from evergreen.stages.promote import promote, reconcile
from tests.conftest import SMALL
from tests.servers import free_port
from tests.stages.verdicts import FIRST, NAME, WEEK, Candidates, candidates, register


def test_without_mlflow_the_ledger_alone_says_who_the_champion_is(candidates: Candidates) -> None:
    decision = candidates.judge("one")
    result = promote(candidates.project, decision)
    champion = candidates.ledger.champion(NAME)
    assert champion is not None
    assert (result.promoted, result.version, result.previous) == (True, None, None)
    assert (champion.build, champion.as_of, champion.cutoff, champion.decision) == ("one", FIRST, FIRST, decision)
    assert champion.bundle == load_bundle(candidates.project.home, NAME, "one").sha256
    assert promote(candidates.project, decision) == result
    assert len(candidates.ledger.promotions(NAME)) == 1


@pytest.mark.parametrize("verdict", ["reject", "inconclusive"])
def test_only_a_verdict_to_promote_promotes(candidates: Candidates, verdict: str) -> None:
    decision = Decision(
        id="d", name=NAME, kind="gate", build="b", as_of=FIRST, verdict=verdict, reason="because", actor="test"
    )
    candidates.ledger.record_decision(decision)
    result = promote(candidates.project, "d")
    assert (result.promoted, result.reason) == (False, f"{verdict}: because")
    assert candidates.champion() is None


def test_aliases_follow_the_ledger(candidates: Candidates, register: Callable[[str], int]) -> None:
    first = candidates.judge("one")
    with pytest.raises(RegistryError, match="no version of the build one, so it was not promoted"):
        promote(candidates.project, first)
    assert candidates.champion() is None
    one = register("one")
    assert promote(candidates.project, first).version == one
    assert aliases(NAME) == {"champion": one}
    second, two = candidates.judge("two", FIRST + WEEK), register("two")
    assert promote(candidates.project, second).previous == "one"
    assert aliases(NAME) == {"champion": two, "previous": one}
    # Carried out once more, the first decision moves nothing back.
    assert promote(candidates.project, first).promoted
    assert aliases(NAME) == {"champion": two, "previous": one}


def test_killed_between_ledger_and_aliases_the_next_run_finishes(
    candidates: Candidates, register: Callable[[str], int]
) -> None:
    decision, version = candidates.judge("one"), register("one")
    command = [str(Path(sys.executable).parent / "evergreen"), "promote", decision]
    killed = {**os.environ, "EVERGREEN_KILL_AT": "promote.recorded"}
    run = subprocess.run(command, env=killed, cwd=candidates.project.root, check=False)
    assert run.returncode == -signal.SIGKILL
    assert (candidates.champion(), aliases(NAME)) == ("one", {})
    reconcile(candidates.project)
    assert aliases(NAME) == {"champion": version}
    assert promote(candidates.project, decision).version == version


def test_with_mlflow_away_nothing_is_promoted(candidates: Candidates, monkeypatch: pytest.MonkeyPatch) -> None:
    decision = candidates.judge("one")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RegistryError, match="does not answer"):
        promote(candidates.project, decision)
    assert candidates.champion() is None
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert promote(candidates.project, decision).promoted


def test_a_shell_that_names_no_mlflow_finds_the_one_of_its_home(
    candidates: Candidates, register: Callable[[str], int], mlflow_uri: str
) -> None:
    version, decision, home = register("one"), candidates.judge("one"), candidates.project.home
    home.mlflow.mkdir(parents=True, exist_ok=True)
    (home.mlflow / "mlflow.db").touch()
    home.run.mkdir(parents=True, exist_ok=True)
    first = int(mlflow_uri.rpartition(":")[2]) - OFFSETS["mlflow"]
    (home.run / "stack.json").write_text(json.dumps({"port": first}))  # as `up` writes it down
    unnamed = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [str(Path(sys.executable).parent / "evergreen"), "promote", decision]
    run = subprocess.run(command, env=unnamed, cwd=candidates.project.root, check=True, capture_output=True, text=True)
    assert json.loads(run.stdout)["version"] == version
    assert aliases(NAME) == {"champion": version}


@pytest.mark.parametrize("file", ["model.pkl", "twin.pkl", "bundle.json"])
def test_a_build_altered_since_the_verdict_is_not_promoted(candidates: Candidates, file: str) -> None:
    decision = candidates.judge("one")
    place = candidates.project.home.models(NAME) / "one" / file
    place.write_bytes(place.read_bytes() + b" ")
    with pytest.raises(RegistryError, match="not what was"):
        promote(candidates.project, decision)
    assert candidates.champion() is None


def test_a_verdict_that_another_promotion_has_overtaken_promotes_nothing(
    candidates: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, slow = candidates.judge("one"), candidates.judge("slow")
    assert promote(candidates.project, first).promoted
    result = promote(candidates.project, slow)  # of two first models
    again = "run the retrain again so that the gate compares with it"
    assert result.reason == f"overtaken by one, promoted as of 2024-01-29T08:00:00Z: {again}"
    two, three = candidates.judge("two", FIRST + WEEK), candidates.judge("three", FIRST + WEEK)
    promote(candidates.project, two)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")  # not asked for a skip
    result = promote(candidates.project, three)
    assert (result.promoted, result.build, result.version) == (False, "three", None)
    assert result.reason.startswith("overtaken by two, promoted as of 2024-02-05T08:00:00Z")
    assert promote(candidates.project, three) == result
    assert [one.build for one in candidates.ledger.promotions(NAME)] == ["two", "one"]
    assert len(candidates.ledger.decisions(NAME)) == 4


def test_a_verdict_that_does_not_say_what_it_judged_promotes_nothing(candidates: Candidates) -> None:
    decision = Decision(id="d", name=NAME, kind="gate", build="b", as_of=FIRST, verdict="promote", reason="", actor="t")
    candidates.ledger.record_decision(decision)
    with pytest.raises(RegistryError, match="`d` does not say what it judged"):
        promote(candidates.project, "d")


def test_a_decision_about_another_use_case_is_refused(
    candidates: Candidates, make_project: Callable[..., Project]
) -> None:
    decision = candidates.judge("one")
    other = Project(candidates.project.root, make_project(SMALL).params, candidates.project.home)
    with pytest.raises(RegistryError, match="is about `promoted`, not about `small`"):
        promote(other, decision)


__all__ = ["candidates", "register"]
