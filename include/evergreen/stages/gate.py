"""gate: judge a build's twin against the champion on rows that neither has learned from, and record the decision.

The same build against the same champion is one decision, however often this runs: its id says so.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from evergreen.builds.records import Build, Clone
from evergreen.builds.worktree import held
from evergreen.clock import format_time
from evergreen.disk import full_disk_is_said
from evergreen.errors import EvergreenError, RegistryError
from evergreen.faults import point
from evergreen.ledger import Decision, Ledger, Promotion
from evergreen.ledger.approvals import Choice, approval_terms
from evergreen.paths import file_sha256
from evergreen.project import Project
from evergreen.registry.bundle import Bundle, load_bundle
from evergreen.registry.contest import (
    Opponent,
    candidate_predictions,
    champion_frame,
    champion_predictions,
    facts_of,
    opponent,
    refit_predictions,
    threshold_of,
)
from evergreen.registry.gate import Facts, Latency, Verdict, decide
from evergreen.registry.groups import groups_of
from evergreen.registry.serving import latencies
from evergreen.registry.window import rows_known, window_frame

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


class GateResult(BaseModel):
    """The decision that stands for this build."""

    model_config = ConfigDict(frozen=True)

    decision: str
    verdict: str
    reason: str
    build: str
    champion: str | None  # that it was judged against
    evidence: str | None
    answered: list[str]  # retrain requests that this decision answers


@full_disk_is_said()
def gate(
    project: Project, build: str, as_of: datetime, actor: str, approval: Choice | None = None, forced: bool = False
) -> GateResult:
    """Judge `build` as of `as_of`, record the decision and answer the requests that were open by then.

    `approval` says for this run what params.yaml else says (`gate.approval`), and `forced` that people are asked also
    about what was rolled back; both are recorded with the decision.

    The rules are those of the build's own params.yaml, which its commit holds. Raises RegistryError where a stored
    model is not what was recorded, BuildError where the build's outputs cannot be had.
    """
    _finish_promotion(project)
    ledger = Ledger.open(project.home)
    champion = ledger.champion(project.name)
    decision = _stored(ledger, project.name, build, champion)
    if decision is None:
        candidate = load_bundle(project.home, project.name, build)
        # Held until the decision is recorded: `evergreen gc` leaves the worktree and the evidence alone.
        with held(Clone.of(project), build) as opened:
            judged = _judge(opened, candidate, as_of, actor, champion)
            told = _context(project, ledger, candidate, champion)
            told["approval"] = approval_terms(candidate.params.gate, approval, forced)
            decision = ledger.record_decision(judged.model_copy(update={"inputs": judged.inputs | told}))
    point("gate.recorded")
    raised = [request.id for request in ledger.open_requests(project.name, decision.as_of)]
    ledger.answer_requests(project.name, raised, decision.id)
    log.info("%s: %s", decision.verdict, decision.reason)
    against = decision.inputs["champion"]
    return GateResult(
        decision=decision.id,
        verdict=decision.verdict,
        reason=decision.reason,
        build=build,
        champion=against and against["build"],
        evidence=decision.evidence,
        answered=[request.id for request in ledger.requests(project.name) if request.answered_by == decision.id],
    )


def decision_id(name: str, build: str, champion: str | None) -> str:
    """`gate-<name>-<build>-against-<champion build, or none>`: the same judgement has the same name."""
    return f"gate-{name}-{build}-against-{champion or 'none'}"


def _stored(ledger: Ledger, name: str, build: str, champion: Promotion | None) -> Decision | None:
    """The decision that was made already; for the champion itself, the one that promoted it."""
    if champion is not None and champion.build == build:
        return ledger.decision(champion.decision)
    return ledger.find_decision(decision_id(name, build, champion.build if champion else None))


def _judge(opened: Build, candidate: Bundle, as_of: datetime, actor: str, champion: Promotion | None) -> Decision:
    from evergreen.registry.evidence import as_evidence, evidence_rows, load_evidence, store_evidence

    if as_of.replace(microsecond=0) < opened.record.as_of.replace(
        microsecond=0
    ):  # the decision would stand, also when the clock is right again
        raise EvergreenError(
            f"the build {opened.id} stands at {format_time(opened.record.as_of)} and cannot be judged as of "
            f"{format_time(as_of)}, which is earlier: look at the clock, or give a later as_of"
        )
    here, name = opened.project, opened.clone.name
    against = _opponent(here, candidate, champion)
    frame = window_frame(here, candidate)
    p = candidate_predictions(here, candidate, frame)
    own, p_champion, against = _champion(here, candidate, against, frame)
    model, groups = candidate.model(), groups_of(candidate.params, frame)
    refit = refit_predictions(candidate, model, frame)
    rows = evidence_rows(frame, p, p_champion, candidate.params.time_zone, refit, groups)
    sha256 = store_evidence(here.home, rows)
    point("gate.evidence")
    known, latencies = rows_known(here, candidate), _latencies(model, frame, against, own)
    facts = facts_of(candidate, against, as_of, threshold_of(here, candidate), latencies, known)
    # Judged as it was stored, so that a replay starts from the same bytes.
    verdict = decide(as_evidence(load_evidence(here.home, sha256)), candidate.params.gate, facts)
    return Decision(
        id=decision_id(name, opened.id, champion.build if champion else None),
        name=name,
        kind="gate",
        build=opened.id,
        as_of=as_of,
        verdict=verdict.verdict,
        reason=verdict.reason,
        inputs=_inputs(here, candidate, champion, frame, facts, verdict),
        evidence=sha256,
        actor=actor,
    )


def _context(project: Project, ledger: Ledger, candidate: Bundle, champion: Promotion | None) -> dict[str, Any]:
    """By what it is judged otherwise than its champion was, and how many were before: said, not held against it."""
    from evergreen.registry.otherwise import changed, looks

    if champion is None:
        return {}
    other = changed(candidate, load_bundle(project.home, project.name, champion.build, champion.bundle))
    if other:
        log.warning("judged otherwise than %s was: %s", champion.build, ", ".join(other))
    return {"changed": other, "looks": looks(ledger.decisions(project.name), champion.build)}


def _opponent(project: Project, candidate: Bundle, champion: Promotion | None) -> Opponent | None:
    if champion is None:
        return None
    bundle = load_bundle(project.home, project.name, champion.build, champion.bundle)
    return opponent(bundle, champion.as_of, candidate.training.judge_from, candidate.training.kind)


def _champion(
    here: Project, candidate: Bundle, against: Opponent | None, frame: pd.DataFrame
) -> tuple[Any, Any, Opponent | None]:
    """The champion's own rows and predictions; where it cannot make them, none and an opponent that says why."""
    if against is None or against.which is None or frame.empty:
        return None, None, against
    try:
        own = champion_frame(here, candidate, against, frame)
        return own, champion_predictions(candidate, against, own), against
    except RegistryError:
        raise
    except EvergreenError as error:
        why = f"the champion {against.bundle.build} cannot predict these rows: {error}"
        return None, None, Opponent(against.bundle, against.promoted, None, why)


def _latencies(model: Any, frame: pd.DataFrame, against: Opponent | None, own: Any) -> list[Latency]:
    """Of the models that serve, the champion's beside the candidate's, where there is anything to predict."""
    if frame.empty:
        return []
    both = [(model, frame)]
    return latencies(both if against is None or own is None else [*both, (against.bundle.model(), own)])


def _inputs(
    here: Project, candidate: Bundle, champion: Promotion | None, frame: pd.DataFrame, facts: Facts, verdict: Verdict
) -> dict[str, Any]:
    """All that the verdict came from, besides the evidence; `gate` and `facts` are what a replay decides on."""
    training = candidate.training
    return {
        "gate": candidate.params.gate.model_dump(mode="json"),
        "facts": facts.model_dump(mode="json"),
        "rules": [rule.model_dump(mode="json") for rule in verdict.rules],
        "metrics": verdict.metrics,
        "candidate": {
            "build": candidate.build,
            "bundle": candidate.sha256,
            "model_sha256": training.model_sha256,
            "twin_sha256": training.twin_sha256,
            "cutoff": format_time(training.cutoff),
        },
        "champion": champion and {"build": champion.build, "bundle": champion.bundle, "version": champion.version},
        "window": {
            "rows": len(frame),
            **_counts(candidate, frame),
            "start": format_time(training.judge_from),
            "end": format_time(training.cutoff),
            "keys_sha256": hashlib.sha256("\n".join(frame["_key"]).encode()).hexdigest(),
        },
        "files": {name: file_sha256(here.build / name) for name in ("features.parquet", "judged.parquet")},
    }


def _counts(candidate: Bundle, frame: pd.DataFrame) -> dict[str, Any]:
    """How many rows of the window have which label; a regression's are not counted."""
    training, label = candidate.training, frame["_label"]
    if training.kind == "binary":
        return {"positives": int((label == 1).sum())}
    return {"classes": {name: int((label == place).sum()) for place, name in enumerate(training.classes)}}


def _finish_promotion(project: Project) -> None:
    """A promotion that a crash left between ledger and registry is finished; MLflow may be away, and waits."""
    from evergreen.stages.promote import reconcile

    try:
        reconcile(project)
    except RegistryError as error:
        log.warning("the registry's aliases were not checked against the ledger: %s", error)
