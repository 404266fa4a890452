"""`scoring` and `schedule`: which rows are predicted when, and when the DAGs run."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from evergreen.params.base import Duration, Section
from evergreen.params.cron import check_cron

WEEK = "7 days"
Cron = Annotated[str, AfterValidator(check_cron)]


class Scoring(Section):
    """Predictions are made for rows whose moment lies in the window that ends at `as_of`."""

    window: Duration = Field("8 days", validate_default=True, description="How far back unscored rows are looked for.")


class Schedule(Section):
    """Cron expressions (UTC) of the four DAGs; null: only by asset event or by hand."""

    ingest: Cron | None = "0 * * * *"
    score: Cron | None = "15 * * * *"
    monitor: Cron | None = "30 5 * * 1"
    retrain: Cron | None = "0 3 * * *"
