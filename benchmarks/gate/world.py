"""Made-up rows of a gate window whose true log-odds are known, so that a model is a change of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from evergreen.registry.gate import Evidence, Facts
from evergreen.training.evaluation.levels import Levels

END = datetime(2013, 4, 1, 4, tzinfo=UTC)
TEAMS = ("red", "green", "blue")


def logistic(score: np.ndarray) -> np.ndarray:
    """Probabilities of log-odds."""
    return 1 / (1 + np.exp(-score))


class Window:
    """`days` days of `per_day` rows; each row has one of the teams, and its label is drawn from its true log-odds."""

    def __init__(self, seed: int, days: int = 28, per_day: int = 100, teams: Sequence[str] = TEAMS) -> None:
        self.random = np.random.default_rng(seed)
        self.days, rows = days, days * per_day
        self.day = np.repeat(np.arange(days), per_day)
        if teams:
            self.team = self.random.integers(0, len(teams), rows)
        self.score = self.random.normal(-1, 1.5, rows)
        self.label = (self.random.random(rows) < logistic(self.score)).astype(float)
        start = np.datetime64((END - timedelta(days=days)).replace(tzinfo=None), "us")
        self.known_at = start + (self.day * 86_400_000_000 + 3_600_000_000).astype("timedelta64[us]")

    def off_by_day(self, spread: float) -> np.ndarray:
        """A model that errs by a shift of its own every day, as two models of one skill do."""
        return logistic(self.score + self.random.normal(0, spread, self.days)[self.day])

    def evidence(self, candidate: np.ndarray, champion: np.ndarray, rows: Any = slice(None)) -> Evidence:
        """What the gate judges; `rows` are those that have a label."""
        teams = {"team": Levels(self.team[rows], TEAMS)}
        return Evidence(
            self.label[rows], candidate[rows], champion[rows], self.day[rows], self.known_at[rows], self.known_at[rows],
            segments=teams,
        )  # fmt: skip


def facts(days: int = 28, **changes: Any) -> Facts:
    """Of a candidate and a champion that have seen nothing of the window, and no promotion for long."""
    start = END - timedelta(days=days)
    values: dict[str, Any] = {
        "as_of": END, "time_zone": "America/New_York", "build": "new", "candidate_sha256": "aa",
        "candidate_cutoff": start, "window_end": END, "threshold": 0.3, "champion_build": "old",
        "champion_model": "model", "champion_sha256": "bb", "champion_cutoff": start,
        "last_promotion": END - timedelta(days=40), "twin_rows": 9_000, "twin_rows_known": 9_000,
    }  # fmt: skip
    return Facts(**(values | changes))
