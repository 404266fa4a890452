"""The gate in a backtest: `registry.gate.decide` on the same evidence and facts as the stage `gate` gives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evergreen.backtest.candidates import Candidate, by_folds, predictions
from evergreen.backtest.fits import Fits
from evergreen.backtest.history import History
from evergreen.params import Params
from evergreen.registry.contest import comparable
from evergreen.registry.gate import Evidence, Facts, Verdict, decide

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
    folds = candidate.twin_folds if _needs_threshold(candidate.params) else ()
    return [candidate.model, candidate.twin, *folds]


def judge(history: History, fits: Fits, candidate: Candidate, champion: Champion | None, days: Any) -> Verdict:
    """The gate's verdict on `candidate` as of its moment; `days` are the local days of the history's rows."""
    parts = candidate.split
    which, why = None, None
    if champion is not None:
        its = champion.candidate.split
        which, why = comparable(champion.candidate.name, its.learned_until, its.judge_from, parts.judge_from)
    against = None
    if champion is not None and which is not None:
        against = champion.candidate.model if which == "model" else champion.candidate.twin
    meta = history.meta.iloc[parts.window]
    evidence = Evidence(
        label=meta["_label"].to_numpy(dtype="float64"),
        candidate=predictions(history, fits, candidate.twin)[parts.window],
        champion=None if against is None else predictions(history, fits, against)[parts.window],
        day=days[parts.window],
        known_at=meta["_label_known_at"].to_numpy().astype("datetime64[us]"),
        first_known_at=meta["_label_first_known_at"].to_numpy().astype("datetime64[us]"),
    )
    known: dict[str, Any] = {}
    if champion is not None:
        known = {
            "champion_build": champion.candidate.name,
            "champion_model": which,
            "champion_sha256": against and fits[against].sha256,
            "champion_cutoff": {
                "model": champion.candidate.split.learned_until,
                "twin": champion.candidate.split.judge_from,
            }[which]
            if which
            else None,
            "incomparable": why,
            "last_promotion": champion.promoted,
        }
    facts = Facts(
        as_of=candidate.as_of,
        time_zone=candidate.params.time_zone,
        kind=candidate.params.prediction.label.kind,
        classes=candidate.params.prediction.label.classes or (),
        build=candidate.name,
        candidate_sha256=fits[candidate.twin].sha256,
        candidate_cutoff=parts.judge_from,
        window_end=parts.cutoff,
        threshold=_threshold(history, fits, candidate),
        **known,
    )
    return decide(evidence, candidate.params.gate, facts)


def _needs_threshold(params: Params) -> bool:
    return params.prediction.label.kind == "binary" and bool(AT_THRESHOLD & params.gate.floor.keys())


def _threshold(history: History, fits: Fits, candidate: Candidate) -> float | None:
    """As the stage `evaluate` chooses it, of a binary label; only a floor of AT_THRESHOLD depends on it."""
    from evergreen.training.metrics import best_threshold, cheapest_threshold

    params: Params = candidate.params
    if params.prediction.label.kind != "binary":
        return None
    if not _needs_threshold(params):
        return 0.5
    rows, cost = candidate.split.twin, params.evaluation.cost
    labels = history.meta["_label"].to_numpy(dtype="float64")[rows]
    p = by_folds(history, fits, candidate.twin_folds)[rows]
    return cheapest_threshold(labels, p, cost) if cost else best_threshold(labels, p)
