"""Real builds of a number and of several classes: what is written, and champions whose label is another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from evergreen.errors import EvergreenError
from evergreen.ledger import Ledger, Promotion
from evergreen.ledger.replay import replay
from evergreen.params.prediction import Kind
from evergreen.project import Project
from evergreen.registry.evidence import load_evidence
from evergreen.stages.gate import GateResult, gate
from evergreen.stages.train import train
from evergreen.training.artifacts import predict
from evergreen.training.frame import read_features
from evergreen.training.predictions import as_array
from tests.conftest import SMALL
from tests.stages.candidates import Candidates
from tests.synthetic import feature_frame, write_features

FIRST = datetime(2024, 1, 29, 8, tzinfo=UTC)
LATER = datetime(2024, 2, 8, 8, tzinfo=UTC)
NUMBER = "value: late, kind: regression}"
SIZES = "value: late, kind: multiclass, classes: [small, middle, large]}"


def text(label: str) -> str:
    return SMALL.replace("value: late > 10}", label).replace("floor: {roc_auc: 0.5}, ", "")


def labelled(kind: Kind, classes: int = 3) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Rows whose number, or whose class among equally wide sizes, follows from their size and some noise."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        noise = np.random.default_rng(1).normal(0, 60, len(frame))
        value = frame["size"].fillna(500) + noise
        if kind == "multiclass":
            value = (value // (1000 / classes)).clip(0, classes - 1)
        return frame.assign(_label=value.where(frame["_label"].notna()))

    return change


def crown(candidates: Candidates, result: GateResult) -> None:
    """Make a build champion in the ledger."""
    bundle = candidates.bundle(result.build)
    Ledger.open(candidates.project.home).record_promotion(
        Promotion(
            name="small", build=result.build, version=None, bundle=bundle.sha256, cutoff=bundle.training.cutoff,
            as_of=FIRST, decision=result.decision, previous_build=None,
        )
    )  # fmt: skip


def first_build(make_project: Callable[..., Project], label: str, kind: Kind) -> tuple[Candidates, GateResult]:
    candidates = Candidates(make_project(text(label)))
    result = gate(candidates.project, candidates.make(FIRST, change=labelled(kind)), FIRST, "test")
    assert result.verdict == "promote", result.reason
    return candidates, result


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_a_number_is_trained_evaluated_and_judged(make_project: Callable[..., Project]) -> None:
    candidates, result = first_build(make_project, NUMBER, "regression")
    build = candidates.here(result.build).build
    record, metrics = read(build / "training.json"), read(build / "metrics.json")
    assert (record["kind"], record["baseline"], record["positives"]) == ("regression", "ridge", None)
    assert metrics["mae"] < 150
    assert metrics["r2"] > 0.5
    assert "threshold" not in metrics
    reference = pq.read_table(build / "reference.parquet").to_pandas()
    assert np.abs(reference["p"] - reference["_label"]).mean() < 150
    # No threshold is chosen, and so no fit spent on the predictions that one would be chosen on.
    assert pq.read_table(build / "validation.parquet").num_rows == 0
    crown(candidates, result)
    later = gate(candidates.project, candidates.make(LATER, change=labelled("regression")), LATER, "test")
    decision = Ledger.open(candidates.project.home).decision(later.decision)
    assert " in mae: " in next(rule["text"] for rule in decision.inputs["rules"] if rule["rule"] == "better")
    assert [one.same for one in replay(candidates.project)] == [True, True]


def test_a_champion_of_another_kind_is_another_use_case(make_project: Callable[..., Project]) -> None:
    candidates, result = first_build(make_project, NUMBER, "regression")
    crown(candidates, result)
    candidates.change_params(NUMBER, SIZES)
    later = gate(candidates.project, candidates.make(LATER, change=labelled("multiclass")), LATER, "test")
    assert later.verdict == "inconclusive"
    assert f"the champion {result.build} predicts a regression label, and this one is multiclass" in later.reason
    assert "a `name` of its own" in later.reason
    assert [one.same for one in replay(candidates.project)] == [True, True]


def test_a_champion_that_knows_fewer_classes_is_compared_by_their_names(make_project: Callable[..., Project]) -> None:
    candidates, result = first_build(make_project, SIZES, "multiclass")
    crown(candidates, result)
    candidates.change_params("[small, middle, large]", "[large, small, huge, middle]")
    order = [1, 3, 0, 2]  # of a size among four, by the new list

    def renamed(frame: pd.DataFrame) -> pd.DataFrame:
        made = labelled("multiclass", 4)(frame)
        return made.assign(_label=made["_label"].map(dict(enumerate(order))))

    build = candidates.make(LATER, change=renamed)
    later = gate(candidates.project, build, LATER, "test")
    rows = load_evidence(candidates.project.home, str(later.evidence))
    said = as_array(rows["p_champion"], 4)
    assert (said[:, 2] == 0).all(), "it never heard of `huge`"
    frame = read_features(candidates.here(build).build / "features.parquet", candidates.bundle(build).params)
    own = frame.set_index("_key").loc[rows["_key"].to_pylist()].reset_index()
    np.testing.assert_allclose(said[:, [1, 3, 0]], predict(candidates.bundle(result.build).model(), own))
    assert later.verdict == "promote", later.reason


def test_a_class_too_rare_for_the_folds_is_an_error_with_its_counts(make_project: Callable[..., Project]) -> None:
    project = make_project(text(SIZES))
    frame = labelled("multiclass")(feature_frame())
    large = frame.index[frame["_label"] == 2]
    frame.loc[large[1:], "_label"] = 1.0
    write_features(project, frame)
    with pytest.raises(
        EvergreenError, match=r"each class at least 2 times .* \d+ small, \d+ middle, [01] large labels"
    ):
        train(project)
