"""The gate in a backtest: `registry.gate.decide` on the same evidence and facts as the stage `gate` gives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.backtest.candidates import Candidate, by_folds, predictions
from evergreen.backtest.fits import Fits
from evergreen.backtest.history import History
from evergreen.params import Params
from evergreen.registry.contest import Which, comparable
from evergreen.registry.gate import Facts, Verdict, decide
from evergreen.registry.groups import groups_of
from evergreen.training.fitting import Job

if TYPE_CHECKING:
    from evergreen.training.evaluation.levels import Levels

# Of the files that serve and of this machine, which a fit here says nothing of.
NOT_REPLAYED = ("max_size", "max_size_ratio", "max_latency", "max_latency_ratio")

AT_THRESHOLD = {
    "precision",
    "recall",
    "f1",
    "accuracy",
}  # floors of a binary label that need the threshold which `evaluate` chooses


@dataclass(frozen=True)
class Champion:
    """A candidate that serves, and the moment of its promotion."""

    candidate: Candidate
    promoted: datetime


def jobs(candidate: Candidate) -> list[Any]:
    """What the gate needs fitted of a candidate."""
    folds = candidate.twin_folds if needs_threshold(candidate.params) else ()
    return [candidate.model, candidate.twin, *folds]


def judge(history: History, fits: Fits, candidate: Candidate, champion: Champion | None) -> Verdict:
    """The gate's verdict on `candidate` as of its moment, on evidence in the form in which the loop stores it."""
    from evergreen.registry.evidence import as_evidence, evidence_rows

    parts, params = candidate.split, candidate.params
    which, why = None, None
    if champion is not None:
        its = champion.candidate.split
        which, why = comparable(champion.candidate.name, its.learned_until, its.judge_from, parts.judge_from)
    against = None
    if champion is not None and which is not None:
        against = champion.candidate.model if which == "model" else champion.candidate.twin

    def said(job: Job) -> Any:
        return predictions(history, fits, job)[parts.window]

    refitted = fits[candidate.model].sha256 != fits[candidate.twin].sha256
    rows = evidence_rows(
        history.meta.iloc[parts.window],
        said(candidate.twin),
        None if against is None else said(against),
        params.time_zone,
        said(candidate.model) if refitted else None,
        _groups(history, params, parts.window),
    ).sort_by([("_time", "ascending"), ("_key", "ascending")])
    facts = Facts(
        as_of=candidate.as_of,
        time_zone=params.time_zone,
        kind=params.prediction.label.kind,
        classes=params.prediction.label.classes or (),
        build=candidate.name,
        candidate_sha256=fits[candidate.twin].sha256,
        candidate_cutoff=parts.judge_from,
        window_end=parts.cutoff,
        threshold=_threshold(history, fits, candidate),
        model_sha256=fits[candidate.model].sha256,
        twin_rows=len(parts.twin),
        twin_rows_known=len(parts.twin),
        **_known(fits, champion, which, why),
    )
    return decide(as_evidence(rows), params.gate.model_copy(update=dict.fromkeys(NOT_REPLAYED)), facts)


def _known(fits: Fits, champion: Champion | None, which: Which, why: str | None) -> dict[str, Any]:
    """What the facts say of the champion."""
    if champion is None:
        return {}
    its = champion.candidate
    compared = {"model": (its.model, its.split.learned_until), "twin": (its.twin, its.split.judge_from)}
    job, cutoff = compared[which] if which else (None, None)
    return {
        "champion_build": its.name,
        "champion_model": which,
        "champion_sha256": job and fits[job].sha256,
        "champion_cutoff": cutoff,
        "champion_model_sha256": fits[its.model].sha256,
        "incomparable": why,
        "last_promotion": champion.promoted,
    }


def _groups(history: History, params: Params, rows: Any) -> dict[str, dict[str, Levels]]:
    """The levels of segments and sensitive columns of these rows."""
    evaluation = params.evaluation
    columns = params.features.categorical if evaluation.segments is None else evaluation.segments
    frame = history.columns(tuple(sorted({*columns, *evaluation.sensitive}))).iloc[rows]
    return groups_of(params, frame)


def needs_threshold(params: Params) -> bool:
    """Whether the gate asks anything of what is predicted at the threshold: a floor of AT_THRESHOLD, or fairness."""
    asked = AT_THRESHOLD & params.gate.floor.keys() or params.gate.fairness
    return params.prediction.label.kind == "binary" and bool(asked)


def _threshold(history: History, fits: Fits, candidate: Candidate) -> float | None:
    """As the stage `evaluate` chooses it, of a binary label; where nothing depends on it, as good as any."""
    from evergreen.training.metrics import best_threshold, cheapest_threshold

    params: Params = candidate.params
    if params.prediction.label.kind != "binary":
        return None
    if not needs_threshold(params):
        return 0.5
    rows, cost = candidate.split.twin, params.evaluation.cost
    labels = history.meta["_label"].to_numpy(dtype="float64")[rows]
    p = by_folds(history, fits, candidate.twin_folds)[rows]
    return cheapest_threshold(labels, p, cost) if cost else best_threshold(labels, p)
