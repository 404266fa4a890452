"""`gate`: the twin of a real build against a real champion, recorded once, and decided alike by a replay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from evergreen.errors import EvergreenError, RegistryError
from evergreen.ledger import Ledger, Promotion, Request
from evergreen.ledger.describe import describe
from evergreen.ledger.replay import replay
from evergreen.project import Project
from evergreen.registry.evidence import load_evidence
from evergreen.stages.gate import GateResult, gate
from evergreen.stages.promote import promote
from evergreen.training.artifacts import predict
from evergreen.training.frame import META, read_features, read_frame
from tests.stages.candidates import Candidates

FIRST = datetime(2024, 1, 29, 8, tzinfo=UTC)
LATER = datetime(2024, 2, 8, 8, tzinfo=UTC)


@pytest.fixture
def candidates(make_project: Callable[..., Project]) -> Candidates:
    return Candidates(make_project())


def judge(candidates: Candidates, build: str, as_of: datetime) -> GateResult:
    return gate(candidates.project, build, as_of, "test")


def crown(candidates: Candidates, result: GateResult, as_of: datetime) -> Promotion:
    """Make a build champion in the ledger."""
    ledger = Ledger.open(candidates.project.home)
    bundle = candidates.bundle(result.build)
    return ledger.record_promotion(
        Promotion(
            name="small", build=result.build, version=None, bundle=bundle.sha256, cutoff=bundle.training.cutoff,
            as_of=as_of, decision=result.decision, previous_build=result.champion,
        )
    )  # fmt: skip


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    """What a candidate learns when its training labels are shuffled; the gate window's stay true."""
    learned = frame["_label"].notna() & (frame["_label_known_at"] <= pd.Timestamp("2024-02-02 05:00"))
    values = frame.loc[learned, "_label"].to_numpy()
    frame.loc[learned, "_label"] = np.random.default_rng(0).permutation(values)
    return frame


def test_a_first_build_is_judged_on_its_floors_with_everything_recorded(candidates: Candidates) -> None:
    build = candidates.make(FIRST)
    result = judge(candidates, build, FIRST)
    assert (result.verdict, result.champion) == ("promote", None)
    decision = Ledger.open(candidates.project.home).decision(result.decision)
    window = decision.inputs["window"]
    rows = pq.read_table(candidates.project.home.evidence / f"{decision.evidence}.parquet")
    judged = pq.read_table(candidates.here(build).build / "judged.parquet")
    assert (window["rows"], window["positives"]) == (rows.num_rows, int(sum(rows["_label"].to_pylist())))
    assert rows["_key"].equals(judged["_key"])
    assert rows["p_candidate"].equals(judged["p"])
    assert decision.inputs["facts"]["candidate_sha256"] == candidates.bundle(build).training.twin_sha256
    assert len(window["keys_sha256"]) == 64
    assert judge(candidates, build, FIRST) == result
    assert len(Ledger.open(candidates.project.home).decisions("small")) == 1


def test_whether_it_must_be_approved_is_recorded_with_the_verdict(candidates: Candidates) -> None:
    """As the run chose, else as the build's own params.yaml says."""
    build = candidates.make(FIRST)
    decision = gate(candidates.project, build, FIRST, "test", approval="required").decision
    assert gate(candidates.project, build, FIRST, "test").decision == decision
    waits = promote(candidates.project, decision)
    assert (waits.promoted, waits.reason[:22]) == (False, "waits for an approval ")
    candidates.change_params("gate: {", "gate: {approval: required, ")
    asks = judge(candidates, candidates.make(LATER), LATER)
    told = Ledger.open(candidates.project.home).decision(asks.decision).inputs["approval"]
    assert told == {"approval": "required", "chosen_by": "params.yaml"}


def test_the_moment_of_a_build_counts_in_whole_seconds(candidates: Candidates) -> None:
    build = candidates.make(FIRST.replace(microsecond=250))
    with pytest.raises(EvergreenError, match="which is earlier"):
        judge(candidates, build, FIRST - timedelta(seconds=1))
    assert judge(candidates, build, FIRST).verdict == "promote"


def test_candidates_against_a_champion(candidates: Candidates) -> None:
    champion = judge(candidates, candidates.make(FIRST), FIRST)
    crown(candidates, champion, FIRST)

    # The champion itself, judged again: the decision that promoted it.
    assert judge(candidates, champion.build, FIRST) == champion

    # The same rows an hour later: the same twin, byte for byte.
    same = candidates.make(FIRST + timedelta(hours=1), until=FIRST)
    result = judge(candidates, same, FIRST + timedelta(hours=1))
    assert result.verdict == "inconclusive"
    assert "nothing to compare: the candidate's twin is the champion's model" in result.reason

    # Trained on shuffled labels.
    bad = candidates.make(LATER, change=shuffled)
    result = judge(candidates, bad, LATER)
    assert result.verdict == "reject"
    assert f"worse than {champion.build} in log_loss" in result.reason
    decision = Ledger.open(candidates.project.home).decision(result.decision)
    assert decision.inputs["facts"]["champion_model"] == "model"  # its cut-off lies before this window

    # Every one of them comes out alike from evidence and inputs alone, and altered evidence is named.
    replayed = replay(candidates.project)
    assert [(one.same, one.recorded, one.replayed) for one in replayed] == [
        (True, "promote", "promote"), (True, "inconclusive", "inconclusive"), (True, "reject", "reject"),
    ]  # fmt: skip
    evidence = candidates.project.home.evidence / f"{decision.evidence}.parquet"
    evidence.write_bytes(evidence.read_bytes()[:-1])
    last = replay(candidates.project)[-1]
    assert not last.same
    assert f"{decision.evidence}.parquet was altered" in str(last.problem)


def test_a_bad_champion_is_beaten_and_a_promotion_waits_its_week(candidates: Candidates) -> None:
    bad = candidates.make(FIRST, change=lambda frame: frame.assign(size=0.0, team_late_3d=0.0, hour=0.0, team="red"))
    ledger = Ledger.open(candidates.project.home)
    first = judge(candidates, bad, FIRST)
    assert first.verdict == "promote"  # constant, so exactly at the floor of 0.5
    crown(candidates, first, FIRST)
    ledger.raise_request(Request(id="r1", name="small", as_of=FIRST, raised_by="test", reason="bad", build=bad))
    soon = judge(candidates, candidates.make(FIRST + timedelta(days=5)), FIRST + timedelta(days=5))
    assert soon.verdict == "inconclusive"
    assert f"{bad} was promoted as of" in soon.reason
    assert soon.answered == ["r1"]
    result = judge(candidates, candidates.make(LATER), LATER)
    assert result.verdict == "promote"
    assert f"better than {bad} in log_loss" in result.reason


def test_a_champion_with_other_features_predicts_from_its_own(candidates: Candidates) -> None:
    candidates.fill_lake(LATER)
    first = judge(candidates, candidates.make_from_lake(FIRST), FIRST)
    crown(candidates, first, FIRST)
    as_it_was = candidates.make_from_lake(LATER)
    candidates.change_params("size: size, hour", "size: size / 2, hour")
    result = judge(candidates, candidates.make_from_lake(LATER), LATER)
    rows = load_evidence(candidates.project.home, str(result.evidence))
    features = read_features(candidates.here(as_it_was).build / "features.parquet", candidates.bundle(as_it_was).params)
    own = features.set_index("_key").loc[rows["_key"].to_pylist()]
    np.testing.assert_array_equal(rows["p_champion"], predict(candidates.bundle(first.build).model(), own))


def test_outcomes_sent_again_make_no_old_label_new(candidates: Candidates) -> None:
    candidates.fill_lake(FIRST)
    first = judge(candidates, candidates.make_from_lake(FIRST), FIRST)
    crown(candidates, first, FIRST)
    sent = pd.read_csv(candidates.project.root / "drops" / "outcomes-1.csv").head(300)
    again = sent.assign(late=sent["late"] + 1)  # another value, the same label
    changed = again.index % 10 == 0
    again.loc[changed, "late"] = 20 - sent.loc[changed, "late"]  # the other label
    candidates.resend(again, LATER - timedelta(days=5))
    build = candidates.make_from_lake(LATER)
    result = judge(candidates, build, LATER)

    here, training = candidates.here(build), candidates.bundle(build).training
    rows = read_frame(here.build / "features.parquet", META).set_index("_key").loc[sent["id"].astype(str)]
    start = pd.Timestamp(training.judge_from).tz_localize(None)
    assert (rows["_label"].to_numpy() == (again["late"] > 10)).all()
    assert ((rows["_label_known_at"] > start).to_numpy() == changed).all()
    assert (rows["_label_first_known_at"] <= start).all()
    judged = load_evidence(candidates.project.home, str(result.evidence))["_key"].to_pylist()
    learned = read_frame(candidates.bundle(first.build).path("reference.parquet"), ["_key"])["_key"]
    assert len(judged) > 100
    assert set(learned).isdisjoint(judged)
    assert training.rows == training.twin_rows + len(judged) + changed.sum()
    decision = Ledger.open(candidates.project.home).decision(result.decision)
    assert next(rule for rule in decision.inputs["rules"] if rule["rule"] == "unseen")["passed"]


def test_a_champion_that_cannot_predict_these_rows_is_nothing_to_compare(candidates: Candidates) -> None:
    first = judge(candidates, candidates.make(FIRST), FIRST)
    crown(candidates, first, FIRST)
    candidates.change_params("size: size, ", "")  # and this build has no snapshot to make it from
    result = judge(candidates, candidates.make(LATER), LATER)
    assert result.verdict == "inconclusive"
    assert f"nothing to compare: the champion {first.build} cannot predict these rows" in result.reason
    assert [one.same for one in replay(candidates.project)] == [True, True]


def test_a_judged_file_that_is_not_what_the_twin_says_is_refused(candidates: Candidates) -> None:
    build = candidates.make(FIRST)
    place = candidates.here(build).build / "judged.parquet"
    table = pq.read_table(place)
    better = table["_label"].combine_chunks()
    pq.write_table(table.set_column(table.column_names.index("p"), "p", better), place)
    with pytest.raises(RegistryError, match="does not hold what the stored twin"):
        judge(candidates, build, FIRST)
    assert Ledger.open(candidates.project.home).decisions("small") == []


def test_an_altered_model_is_not_loaded(candidates: Candidates) -> None:
    build = candidates.make(FIRST)
    candidates.bundle(build).path("twin.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(RegistryError, match=r"twin\.pkl is missing or not what was stored"):
        judge(candidates, build, FIRST)


@pytest.mark.parametrize(("outcome", "rare"), [(0.0, "positives"), (1.0, "negatives")])
def test_a_window_of_one_outcome_promotes_nobody(candidates: Candidates, outcome: float, rare: str) -> None:
    def one_sided(frame: pd.DataFrame) -> pd.DataFrame:
        judged = frame["_label"].notna() & (frame["_label_first_known_at"] > pd.Timestamp("2024-01-22 05:00"))
        return frame.assign(_label=frame["_label"].mask(judged, outcome))

    result = judge(candidates, candidates.make(FIRST, change=one_sided), FIRST)
    assert result.verdict == "inconclusive"
    assert f"the gate window has 0 {rare}; at least 5 are needed" in result.reason


def test_what_a_candidate_changes_of_how_it_is_judged_is_said(
    candidates: Candidates, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger.open(candidates.project.home)
    crown(candidates, judge(candidates, candidates.make(FIRST), FIRST), FIRST)
    alike = ledger.decision(judge(candidates, candidates.make(LATER), LATER).decision)
    assert (alike.inputs["changed"], alike.inputs["looks"]) == ({}, 0)
    assert "- params.yaml: nothing that a verdict comes from\n- verdicts on this champion before: 0" in describe(alike)
    candidates.change_params("gate: {", "gate: {seed: 7, confidence: 0.51, segments: null, refit: null, ")
    later = LATER + timedelta(hours=1)
    build = candidates.make(later, until=LATER)
    with caplog.at_level("WARNING"):
        lowered = ledger.decision(judge(candidates, build, later).decision)
    assert lowered.inputs["looks"] == 1
    assert lowered.inputs["changed"]["gate.seed"] == {"champion": 0, "candidate": 7}
    assert lowered.inputs["changed"]["gate.segments.min_rows"] == {"champion": 200, "candidate": "absent"}
    assert {"gate.confidence", "gate.segments", "gate.refit"} <= lowered.inputs["changed"].keys()
    assert "- gate.confidence: candidate 0.51, champion 0.9" in describe(lowered)
    assert "judged otherwise than" in caplog.text
    assert all(one.same for one in replay(candidates.project))
