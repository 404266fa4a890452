"""Stored builds, verdicts about them, and a real MLflow to register them in: what promoting and rolling back need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mlflow import MlflowClient

from evergreen.ledger import Decision, Ledger
from evergreen.project import Project
from evergreen.registry.bundle import store_bundle
from evergreen.stages.promote import promote
from evergreen.training.record import TrainingRecord
from tests.conftest import SMALL

NAME = "promoted"
FIRST = datetime(2024, 1, 29, 8, tzinfo=UTC)
WEEK = timedelta(days=7)


class Candidates:
    """Stored builds and verdicts about them. Promoting loads no model, so a model is any bytes here."""

    def __init__(self, project: Project) -> None:
        self.project, self.ledger = project, Ledger.open(project.home)

    def judge(self, build: str, as_of: datetime = FIRST, model: str | None = None, **changes: Any) -> str:
        """Store a build and record a verdict to promote it after the present champion.

        `model` is the build whose model it has, its own by default; `changes` are made to the decision.
        """
        sha256 = self._store(build, as_of, model or build)
        champion = self.ledger.champion(self.project.name)
        inputs = {
            "candidate": {"bundle": sha256, "model_sha256": _sha256("model", model or build)},
            "champion": champion and {"build": champion.build},
        } | changes.pop("inputs", {})
        decision = Decision(
            id=f"gate-{self.project.name}-{build}", name=self.project.name, kind="gate", build=build, as_of=as_of,
            verdict="promote", reason="better", actor="test", inputs=inputs,
        )  # fmt: skip
        return self.ledger.record_decision(decision.model_copy(update=changes)).id

    def crown(self, build: str, as_of: datetime = FIRST) -> str:
        """Judge a build and promote it; returns the decision."""
        decision = self.judge(build, as_of)
        assert promote(self.project, decision).promoted
        return decision

    def champion(self) -> str | None:
        champion = self.ledger.champion(self.project.name)
        return champion.build if champion else None

    def _store(self, build: str, as_of: datetime, model: str) -> str:
        self.project.build.mkdir(exist_ok=True)
        for file in ("reference.parquet", "sample.parquet"):
            (self.project.build / file).write_text(f"{file} of {build}")
        for kind in ("model", "twin"):
            (self.project.build / f"{kind}.pkl").write_text(_content(kind, model))
        TrainingRecord(
            cutoff=as_of, judge_from=as_of - WEEK, rows=9, positives=3, twin_rows=6, window_rows=3,
            estimator="logistic", baseline=None, features=("size",), categorical=(), baseline_sha256=None,
            environment={}, model_sha256=_sha256("model", model), twin_sha256=_sha256("twin", model),
        ).write(self.project.build / "training.json")  # fmt: skip
        return store_bundle(self.project, build).sha256


def _content(kind: str, build: str) -> str:
    return f"{kind}.pkl of {build}"


def _sha256(kind: str, build: str) -> str:
    return hashlib.sha256(_content(kind, build).encode()).hexdigest()


@pytest.fixture
def candidates(make_project: Callable[..., Project]) -> Candidates:
    return Candidates(make_project(SMALL.replace("name: small", f"name: {NAME}")))


@pytest.fixture
def register(mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Register versions in a real MLflow, whose model of our name is empty before."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    client = MlflowClient(mlflow_uri)
    if client.search_registered_models(f"name = '{NAME}'"):
        client.delete_registered_model(NAME)
    client.create_registered_model(NAME)

    def register(build: str) -> int:
        version = client.create_model_version(NAME, "s3://nowhere/model", tags={"evergreen.build": f"{NAME}/{build}"})
        return int(version.version)

    return register
