"""Candidates that must not pass, on made-up rows: what the gate says of each, and by which rules.

The same through the real DAG, with MLflow and commits that plant them: tests/pipeline/test_planted.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gate.world import TEAMS, Window, facts, logistic
from evergreen.params.gate import Gate
from evergreen.registry.gate import Evidence, Facts, Verdict, decide


def verdicts(gate: Gate, seed: int = 0) -> Iterator[tuple[str, Verdict]]:
    """Each candidate and its verdict; the last one is honest and better, and passes."""
    for name, evidence, known in _planted(Window(seed)):
        yield name, decide(evidence, gate, known)


def against(verdict: Verdict) -> str:
    """The rules that kept it out."""
    kept_out = False if verdict.verdict == "reject" else None
    return ", ".join(rule.rule for rule in verdict.rules if rule.passed is kept_out)


def _planted(window: Window) -> Iterator[tuple[str, Evidence, Facts]]:
    """The champion knows a part of what there is to know, most of it of blue."""
    whole = logistic(window.score)
    red, blue = (window.team == TEAMS.index(name) for name in ("red", "blue"))
    champion = logistic(-1 + (window.score + 1) * np.where(blue, 0.5, 0.25))
    ruined = np.where(blue, logistic(window.score + 1.2), whole)
    base = np.full_like(whole, window.label.mean())
    made: dict[str, np.ndarray] = {
        "trained on shuffled labels": base + window.random.normal(0, 0.02, len(whole)),
        "trained on one segment only": np.where(red, whole, logistic(-1 - window.score)),
        "overconfident": logistic(window.score * 4),
        "constant": base,
        "better as a whole, ruinous for one segment": ruined,
        "identical to the champion": champion,
        "its predictions are missing": np.where(window.day == 3, np.nan, whole),
    }  # fmt: skip
    for name, p in made.items():
        changes: dict[str, Any] = {"candidate_sha256": "bb"} if name.startswith("identical") else {}
        yield name, window.evidence(p, champion), facts(**changes)
    yield "has learned from the gate window", window.evidence(whole, champion), facts(twin_rows=11_800)
    yield "no row in the gate window", window.evidence(whole, champion, rows=window.day < 0), facts()
    yield "honest and better", window.evidence(whole, champion), facts()
