"""Drops for the small project of conftest.py: jobs with a real pattern, and their outcomes a day later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

START = datetime(2024, 1, 1, 5, tzinfo=UTC)  # local midnight in New York


def small_tables(
    days: int, seed: int = 0, per_day: int = 40, drift_from: int | None = None, shift_from: int | None = None
) -> dict[str, pd.DataFrame]:
    """`jobs` and `outcomes` of `days` days.

    From day `drift_from` on, everything is late far more often, whatever its size. From day `shift_from` on, jobs are
    larger, and as late as jobs of their size always were: the inputs move, and what was learned still holds.
    """
    rng = np.random.default_rng(seed)
    rows = days * per_day
    day = np.repeat(np.arange(days), per_day)
    due = pd.Timestamp(START).tz_localize(None) + pd.to_timedelta(day, "D") + pd.to_timedelta(
        rng.integers(6 * 3600, 22 * 3600, rows), "s"
    )  # fmt: skip
    team, size = rng.choice(["red", "green", "blue"], rows), rng.uniform(0, 1000, rows).round(3)
    if shift_from is not None:
        size = np.where(day >= shift_from, 500 + size / 2, size).round(3)
    lateness = size / 60 + np.where(team == "red", 8, 0) + rng.normal(0, 6, rows) - 6
    if drift_from is not None:
        lateness = lateness + np.where(day >= drift_from, 10, 0)
    jobs = pd.DataFrame({"id": np.arange(1, rows + 1), "due": due, "team": team, "size": size})
    outcomes = jobs[["id", "due", "team"]].assign(late=lateness.round(3))
    return {"jobs": jobs, "outcomes": outcomes}


def write_drops(
    folder: Path,
    days: int,
    *,
    seed: int = 0,
    until: int | None = None,
    drift_from: int | None = None,
    shift_from: int | None = None,
) -> None:
    """Write what is known on day `until` (default: all days) as one CSV a table and week."""
    folder.mkdir(parents=True, exist_ok=True)
    end = pd.Timestamp(START).tz_localize(None) + timedelta(days=days if until is None else until)
    lead = {"jobs": -timedelta(days=2), "outcomes": timedelta(days=1)}
    for table, frame in small_tables(days, seed, drift_from=drift_from, shift_from=shift_from).items():
        known = frame["due"] + lead[table]
        week = ((known - pd.Timestamp(START).tz_localize(None)) // timedelta(days=7)).clip(lower=0)
        for number, part in frame[known <= end].groupby(week[known <= end]):
            text = part.assign(due=part["due"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_csv(index=False)
            (folder / f"{table}-{number:03d}.csv").write_text(text)


def day(number: int) -> datetime:
    """Local midnight at the start of a day, counted from 0."""
    return START + timedelta(days=number)
