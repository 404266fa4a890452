"""What the stage gathers for the gate's rules: groups, the refit, sizes and times; and decisions from before that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from evergreen.ledger import Decision, Ledger
from evergreen.ledger.replay import replay
from evergreen.project import Project
from evergreen.registry.evidence import as_evidence, evidence_schema, load_evidence, store_evidence
from evergreen.stages.gate import gate
from evergreen.training.artifacts import predict
from evergreen.training.frame import read_frame
from tests.conftest import SMALL
from tests.stages.candidates import Candidates
from tests.stages.test_gate import FIRST, LATER, crown, judge

NEW = ("mode", "margin", "calibration", "segments", "fairness", "fairness_min_rows", "refit", "max_size",
       "max_size_ratio", "max_latency", "max_latency_ratio")  # fmt: skip


def rules(decision: Decision) -> dict[str, Any]:
    return {rule["rule"]: rule for rule in decision.inputs["rules"]}


def decided(candidates: Candidates, build: str, as_of: datetime) -> Decision:
    return Ledger.open(candidates.project.home).decision(judge(candidates, build, as_of).decision)


def test_all_that_the_rules_need_is_recorded_and_a_decision_from_before_them_replays(
    make_project: Callable[..., Project],
) -> None:
    sensitive = SMALL.replace("evaluation: {", "evaluation: {sensitive: [team], ")
    limits = "fairness: {accuracy_difference: 0.9}, fairness_min_rows: 20, max_size: 5 MB, max_latency: 10000"
    text = sensitive.replace("min_days: 3}", f"min_days: 3, segments: {{min_rows: 20}}, {limits}}}")
    candidates = Candidates(make_project(text))
    first = judge(candidates, candidates.make(FIRST), FIRST)
    crown(candidates, first, FIRST)
    build = candidates.make(LATER)
    decision = decided(candidates, build, LATER)
    home, bundle, facts = candidates.project.home, candidates.bundle(build), decision.inputs["facts"]

    table = load_evidence(home, str(decision.evidence))
    frame = read_frame(candidates.here(build).build / "features.parquet", ["_key", *bundle.training.features])
    frame = frame.set_index("_key").loc[table["_key"].to_pylist()]
    assert table["p_refit"].to_pylist() == list(predict(bundle.model(), frame))
    assert table["segment.team"].to_pylist() == table["sensitive.team"].to_pylist() == list(frame["team"])
    assert facts["model_sha256"] == bundle.training.model_sha256 != facts["candidate_sha256"]
    assert facts["size"] == bundle.path("model.pkl").stat().st_size
    champion = candidates.bundle(first.build)
    assert facts["champion_size"] == champion.path("model.pkl").stat().st_size
    for who in ("latency", "champion_latency"):
        assert 0 < facts[who]["median"] <= facts[who]["p95"]
        assert facts[who]["predictions"] >= 20
    keys = "\n".join(table["_key"].to_pylist())
    assert decision.inputs["window"]["keys_sha256"] == hashlib.sha256(keys.encode()).hexdigest()
    found = rules(decision)
    assert set(found["segments"]["numbers"]["segments"]) == {"team=blue", "team=green", "team=red"}
    assert {"calibration", "fairness.accuracy_difference.team", "size", "latency", "refit"} <= set(found)
    assert all(found[name]["passed"] for name in ("calibration", "segments", "size", "latency", "refit"))

    # The same as a version without these rules recorded it.
    inputs = dict(decision.inputs)
    inputs["gate"] = {key: value for key, value in inputs["gate"].items() if key not in NEW}
    known = ("model_sha256", "champion_model_sha256", "size", "champion_size", "latency", "champion_latency",
             "twin_rows", "twin_rows_known")  # fmt: skip
    inputs["facts"] = {key: value for key, value in facts.items() if key not in known}
    before = ("enough", "complete", "unseen", "distinct", "floor", "better", "every")
    inputs["rules"] = [rule for rule in inputs["rules"] if rule["rule"].startswith(before)]
    distinct = next(rule for rule in inputs["rules"] if rule["rule"] == "distinct")
    distinct["numbers"] = {key: distinct["numbers"][key] for key in ("candidate", "champion")}
    old = store_evidence(home, table.select(evidence_schema().names))
    Ledger.open(home).record_decision(decision.model_copy(update={"id": "old", "inputs": inputs, "evidence": old}))
    assert [(one.same, one.problem) for one in replay(candidates.project)] == [(True, None)] * 3
    assert as_evidence(load_evidence(home, old)).segments == {}

    # A rule that was asked and is not any more, and a gate that was not recorded, are said.
    for id_, spoiled, problem in (
        (
            "less",
            inputs | {"rules": decision.inputs["rules"]},
            "same verdict, but other numbers in learned, calibration, segments",
        ),
        ("none", {key: inputs[key] for key in inputs if key != "gate"}, "its recorded inputs cannot be read"),
    ):
        Ledger.open(home).record_decision(decision.model_copy(update={"id": id_, "inputs": spoiled, "evidence": old}))
        assert str(replay(candidates.project)[-1].problem).startswith(problem)


def test_a_candidate_without_a_refit_is_what_was_judged(make_project: Callable[..., Project]) -> None:
    candidates = Candidates(make_project(SMALL.replace("min_labels: 50}", "min_labels: 50, refit: false}")))
    decision = decided(candidates, candidates.make(FIRST), FIRST)
    assert decision.verdict == "promote"
    assert decision.inputs["candidate"]["model_sha256"] == decision.inputs["candidate"]["twin_sha256"]
    assert rules(decision)["refit"]["text"] == "the model that serves is the one that was judged"
    table = load_evidence(candidates.project.home, str(decision.evidence))
    assert "p_refit" not in table.column_names
    crown(candidates, judge(candidates, str(decision.build), FIRST), FIRST)
    same = decided(candidates, candidates.make(FIRST + timedelta(hours=1), until=FIRST), FIRST + timedelta(hours=1))
    assert (same.verdict, same.reason.startswith("nothing to compare")) == ("inconclusive", True)
    assert all(one.same for one in replay(candidates.project))


def later(days: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Labels that come `days` later than they do."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame["_time"] -= pd.Timedelta(days=days)  # the same, seen from the label
        return frame

    return change


def test_a_window_shorter_than_the_label_takes_judges_the_labels_that_came_in_it(
    make_project: Callable[..., Project],
) -> None:
    candidates = Candidates(make_project())
    decision = decided(candidates, candidates.make(FIRST, change=later(30)), FIRST)
    assert decision.verdict == "promote"
    assert decision.inputs["window"]["rows"] > 100
    assert rules(decision)["unseen"]["passed"]


def test_labels_that_all_came_before_the_window_say_so(make_project: Callable[..., Project]) -> None:
    def corrected(frame: pd.DataFrame) -> pd.DataFrame:
        """Whatever became known in the window was known before, and is another value now."""
        start = pd.Timestamp("2024-01-22 05:00")
        late = frame["_label_known_at"] > start
        frame.loc[late, "_label_first_known_at"] = start - pd.Timedelta(days=1)
        return frame

    candidates = Candidates(make_project())
    result = gate(candidates.project, candidates.make(FIRST, change=corrected), datetime(2024, 2, 1, tzinfo=UTC), "me")
    assert result.verdict == "inconclusive"
    assert "the gate window has 0 rows; at least 50 are needed: no row's first label came after" in result.reason
    assert "how late each comes does not matter" in result.reason
