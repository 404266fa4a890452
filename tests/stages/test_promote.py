"""`promote`: the ledger first, the aliases after it, and nothing where MLflow is away or the model was altered."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.stages.candidates import Candidates

from evergreen.errors import EvergreenError, RegistryError
from evergreen.ledger import Decision, Ledger
from evergreen.project import Project
from evergreen.registry.models import aliases
from evergreen.stages.gate import gate
from evergreen.stages.promote import promote, reconcile

# MLflow's own database code, which runs in its server's process otherwise.
mlflow_in_process = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FIRST = datetime(2024, 1, 29, 8, tzinfo=UTC)


@pytest.fixture
def candidates(make_project: Callable[..., Project]) -> Candidates:
    return Candidates(make_project())


@pytest.fixture
def judged(candidates: Candidates) -> str:
    """A decision to promote a first build."""
    result = gate(candidates.project, candidates.make(FIRST), FIRST, "test")
    assert result.verdict == "promote"
    return result.decision


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """A real MLflow registry in a database; call it with a build to register a version of it."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client = MlflowClient()

    def register(build: str) -> int:
        if not client.search_registered_models("name = 'small'"):
            client.create_registered_model("small")
        version = client.create_model_version("small", f"file://{tmp_path}", tags={"evergreen.build": f"small/{build}"})
        return int(version.version)

    return register


def later(candidates: Candidates, days: int = 8) -> Decision:
    """A recorded verdict to promote another build; only what `promote` reads of a decision."""
    ledger = Ledger.open(candidates.project.home)
    champion = ledger.champion("small")
    assert champion is not None
    as_of = FIRST + timedelta(days=days)
    build = candidates.make(as_of)
    inputs = {"candidate": {"bundle": candidates.bundle(build).sha256}, "champion": {"build": champion.build}}
    return ledger.record_decision(
        Decision(
            id=f"gate-small-{build}", name="small", kind="gate", build=build, as_of=as_of, verdict="promote",
            reason="better", inputs=inputs, actor="test",
        )
    )  # fmt: skip


def test_without_mlflow_the_ledger_alone_says_who_the_champion_is(candidates: Candidates, judged: str) -> None:
    ledger = Ledger.open(candidates.project.home)
    result = promote(candidates.project, judged)
    champion = ledger.champion("small")
    assert champion is not None
    assert (result.promoted, result.version, result.previous) == (True, None, None)
    assert (champion.build, champion.as_of, champion.decision) == (result.build, FIRST, judged)
    assert champion.bundle == candidates.bundle(champion.build).sha256
    assert champion.cutoff == candidates.bundle(champion.build).training.cutoff
    assert promote(candidates.project, judged) == result
    assert len(ledger.promotions("small")) == 1


@pytest.mark.parametrize("verdict", ["reject", "inconclusive", "skipped"])
def test_only_a_verdict_to_promote_promotes(make_project: Callable[..., Project], verdict: str) -> None:
    project = make_project()
    ledger = Ledger.open(project.home)
    ledger.record_decision(
        Decision(
            id="d", name="small", kind="gate", build="b", as_of=FIRST, verdict=verdict, reason="because", actor="test"
        )
    )
    result = promote(project, "d")
    assert (result.promoted, result.reason) == (False, f"{verdict}: because")
    assert ledger.champion("small") is None


@mlflow_in_process
def test_aliases_follow_the_ledger(candidates: Candidates, judged: str, registry: Callable[[str], int]) -> None:
    first = Ledger.open(candidates.project.home).decision(judged).build
    with pytest.raises(RegistryError, match=f"no version of the build {first}, so it was not promoted"):
        promote(candidates.project, judged)
    assert Ledger.open(candidates.project.home).champion("small") is None
    one = registry(str(first))
    assert promote(candidates.project, judged).version == one
    assert aliases("small") == {"champion": one}
    second = later(candidates)
    two = registry(str(second.build))
    assert promote(candidates.project, second.id).previous == first
    assert aliases("small") == {"champion": two, "previous": one}
    # Carried out once more, the first decision moves nothing back.
    assert promote(candidates.project, judged).promoted
    assert aliases("small") == {"champion": two, "previous": one}


@mlflow_in_process
def test_killed_between_ledger_and_aliases_the_next_run_finishes(
    candidates: Candidates, judged: str, registry: Callable[[str], int]
) -> None:
    version = registry(str(Ledger.open(candidates.project.home).decision(judged).build))
    command = [str(Path(sys.executable).parent / "evergreen"), "promote", judged]
    killed = {**os.environ, "EVERGREEN_KILL_AT": "promote.recorded"}
    run = subprocess.run(command, env=killed, cwd=candidates.project.root, check=False)
    assert run.returncode == -signal.SIGKILL
    assert aliases("small") == {}
    assert Ledger.open(candidates.project.home).champion("small") is not None
    reconcile(candidates.project)
    assert aliases("small") == {"champion": version}


def test_with_mlflow_away_nothing_is_promoted(
    candidates: Candidates, judged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: the port refuses
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(RegistryError, match="does not answer"):
            promote(candidates.project, judged)
    assert Ledger.open(candidates.project.home).champion("small") is None
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert promote(candidates.project, judged).promoted


def test_a_model_altered_since_the_verdict_is_not_promoted(candidates: Candidates, judged: str) -> None:
    build = str(Ledger.open(candidates.project.home).decision(judged).build)
    candidates.bundle(build).path("model.pkl").write_bytes(b"another model")
    with pytest.raises(RegistryError, match=r"model\.pkl is missing or not what was stored"):
        promote(candidates.project, judged)
    assert Ledger.open(candidates.project.home).champion("small") is None


def test_a_verdict_that_another_promotion_has_overtaken_is_refused(candidates: Candidates, judged: str) -> None:
    promote(candidates.project, judged)
    one, two = later(candidates, 8), later(candidates, 9)
    promote(candidates.project, one.id)
    with pytest.raises(EvergreenError, match=f"that is `{one.build}`; run the retrain again"):
        promote(candidates.project, two.id)
    champion = Ledger.open(candidates.project.home).champion("small")
    assert champion is not None
    assert champion.build == one.build
