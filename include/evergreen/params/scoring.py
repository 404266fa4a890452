"""`scoring` and `schedule`: which rows are predicted when, and when the DAGs run."""

from __future__ import annotations

from pydantic import Field

from evergreen.params.base import Duration, Section

WEEK = "7 days"


class Scoring(Section):
    """Predictions are made for rows whose moment lies in the window that ends at `as_of`."""

    window: Duration = Field("8 days", validate_default=True, description="How far back unscored rows are looked for.")


class Schedule(Section):
    """Cron expressions (UTC) of the four DAGs; null: only by asset event or by hand."""

    ingest: str | None = "0 * * * *"
    score: str | None = "15 * * * *"
    monitor: str | None = "30 5 * * 1"
    retrain: str | None = "0 3 * * *"
