"""A label of several classes, with names that nobody would choose, from zero to a monitored week and a verdict more."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from evergreen.builds.build import run_stage, take_snapshot
from evergreen.features.check import check_expressions
from evergreen.lake.predictions import read_predictions
from evergreen.ledger import Ledger
from evergreen.ledger.replay import replay
from evergreen.project import Project
from evergreen.registry.evidence import load_evidence
from evergreen.sql import quote
from evergreen.stages.gate import GateResult, gate
from evergreen.stages.monitor import monitor
from evergreen.stages.promote import promote
from evergreen.stages.retrain import begin
from evergreen.stages.score import score
from evergreen.stages.track import track
from evergreen.training.predictions import as_array
from tests.pipeline.test_random_tables import END, FIRST, Case, check_watched, clone, deliver, make_case

CLASSES = ("x|y", "größer als 'so'", "nichts")


def make_multiclass(seed: int) -> Case:
    """The random tables of a binary label, with one of three classes in its place."""
    case = make_case(seed, "csv")
    rng = np.random.default_rng(seed)
    features = case.params["features"]["row"]
    number = case.rows[next(name for name, text in features.items() if text == quote(name))].fillna(0).to_numpy()
    damage = next(name for name in case.outcomes.columns[1:] if name != "seen at")
    pull = np.stack([2.5 * number, -2.5 * number, np.full(len(number), 0.5)]) + rng.gumbel(size=(3, len(number)))
    outcomes = case.outcomes.assign(**{damage: np.array(CLASSES)[pull.argmax(axis=0)]})
    params = copy.deepcopy(case.params)
    params["prediction"]["label"] |= {"kind": "multiclass", "classes": list(CLASSES), "value": quote(damage)}
    params["gate"] |= {"floor": {"macro_roc_auc": 0.6, "accuracy": 0.4, "log_loss": 1.05}, "every": "7 days"}
    params["training"]["out_of_fold"] = {"folds": 3}
    return dataclasses.replace(case, outcomes=outcomes, params=params)


@pytest.fixture(scope="module")
def case() -> Case:
    return make_multiclass(1)


@pytest.fixture
def judged(
    tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, case: Case
) -> tuple[Project, Callable[..., tuple[str, GateResult]]]:
    """The project, and how a candidate is made and judged at a moment."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    project = Project.load(clone(case, tmp_path))

    def retrain(as_of) -> tuple[str, GateResult]:
        deliver(case, project, as_of)
        assert begin(project, as_of).run
        build = take_snapshot(project, as_of).build
        for stage in ("features", "train", "evaluate"):
            run_stage(project, build, stage)
        track(project, build)
        return build, gate(project, build, as_of, "a test")

    return project, retrain


@pytest.mark.filterwarnings("ignore:(?s).*Any type hint is inferred:UserWarning")  # mlflow.pyfunc's own, on import
@pytest.mark.timeout(1800)  # a minute, or far more on a busy machine
def test_several_classes_from_zero_to_a_second_verdict(judged, case: Case, mlflow_uri: str) -> None:
    project, retrain = judged
    check_expressions(project.params)
    build, first = retrain(FIRST)
    ledger = Ledger.open(project.home)
    decision = ledger.decision(first.decision)
    assert promote(project, first.decision).promoted, first.reason
    assert set(decision.inputs["window"]["classes"]) == set(CLASSES)
    assert {f"enough.rows of {name}" for name in CLASSES} < {rule["rule"] for rule in decision.inputs["rules"]}
    assert decision.inputs["metrics"]["candidate"]["accuracy"] > 0.5

    model = mlflow.pyfunc.load_model(f"models:/{case.name}@champion")
    said = model.predict(model.input_example)
    assert said.shape == (5, 3)
    np.testing.assert_allclose(said.sum(axis=1), 1)

    second, result = retrain(END)
    scored = score(project, END, END - FIRST)
    table = read_predictions(project.lake)
    p = as_array(table["p"], 3)
    assert scored.rows == len(p) > 400
    np.testing.assert_allclose(p.sum(axis=1), 1)
    watched = monitor(project, END)
    assert watched.record is not None
    check_watched(case, project, watched.record, END, mlflow_uri)
    check_record(case, watched.record, table, p)
    page = (project.home.reports(case.name) / str(watched.summary)).read_text()
    assert "Classes of the last window" in page
    assert "größer als &#x27;so&#x27;" in page

    better = next(rule for rule in ledger.decision(result.decision).inputs["rules"] if rule["rule"] == "better")
    assert " in log_loss: " in better["text"]
    assert second != build
    rows = load_evidence(project.home, str(result.evidence))
    assert as_array(rows["p_champion"], 3).shape == (len(rows), 3)
    assert [one.same for one in replay(project)] == [True, True]


def check_record(case: Case, record: dict, table, p: np.ndarray) -> None:
    """The monitor's figures by hand."""
    key, damage = case.outcomes.columns[0], next(name for name in case.outcomes.columns[1:] if name != "seen at")
    known = (case.outcomes["seen at"] + pd.Timedelta(hours=6)).dt.tz_localize("UTC")
    inside = (known > pd.Timestamp(record["start"])) & (known <= pd.Timestamp(record["end"]))
    outcomes = case.outcomes[inside].set_index(case.outcomes[key].astype(str)[inside])[damage]
    said = pd.DataFrame(p, index=table["_key"].to_pylist(), columns=list(CLASSES)).loc[outcomes.index]
    shares = outcomes.value_counts(normalize=True)
    for name in CLASSES:
        assert record["classes"][name]["rate"] == pytest.approx(shares[name])
        assert record["classes"][name]["bias"] == pytest.approx(said[name].mean() - shares[name])
    loss = -np.log([said.loc[row, name] for row, name in outcomes.items()]).mean()
    assert record["log_loss"] == pytest.approx(loss)
    assert record["skill"] == pytest.approx(1 - loss / -(shares * np.log(shares)).sum())
    assert record["skill"] > 0.1
    assert record["accuracy"] == pytest.approx((said.idxmax(axis=1) == outcomes).mean())
    assert set(record["reference"]["classes"]) == set(CLASSES)
    assert all(sd > 0 for sd in record["reference"]["classes"].values())
    assert {rule["alarm"] for rule in record["rules"]} == {False}
    assert "|mean p - share| of `" in next(rule["text"] for rule in record["rules"] if rule["name"] == "bias")
