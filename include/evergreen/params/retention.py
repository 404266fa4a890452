"""`retention`: how long `evergreen gc` leaves what can be made again, or was judged and not taken."""

from __future__ import annotations

from pydantic import Field

from evergreen.params.base import Duration, Section


class Retention(Section):
    """What `evergreen gc` frees by age. What was promoted, decided or delivered stays, whatever its age."""

    candidates: Duration = Field(
        "30 days",
        validate_default=True,
        description="Builds that the gate did not take, and unfinished ones: tag, model, MLflow run and data go when "
        "the decision is older. The decision, its evidence and its reason stay.",
    )
    worktrees: Duration = Field(
        "2 days", validate_default=True, description="Worktrees of builds; they are made again when they are needed."
    )
    reports: Duration = Field(
        "90 days",
        validate_default=True,
        description="Pages of the monitor and of validation; the numbers stay. What a refused file or an open request "
        "shows stays too.",
    )
    logs: Duration = Field(
        "30 days", validate_default=True, description="Logs of servers and tasks, and runs in Airflow's database."
    )
