"""Cron expressions, checked where they are written: Airflow would first trip over one when it reads the DAGs."""

from __future__ import annotations

_QUARTERLY = "0 0 1 */3 *"  # a preset of Airflow that croniter does not have


def check_cron(value: str) -> str:
    """`value` where Airflow can schedule by it; raises ValueError that says what is wrong.

    Croniter decides, which Airflow brings and reads its schedules with. It takes fields beyond the five, too: seconds
    at the end, where other schedulers have them in front.
    """
    from croniter import croniter

    fields = len(value.split())
    if not value.startswith("@") and fields != 5:
        raise ValueError(
            "a cron expression has five fields (minute, hour, day of the month, month, day of the week), such as "
            f"`30 5 * * 1`, and this has {fields}; or it is one such as @hourly, @daily, @weekly or @monthly"
        )
    try:
        croniter(_QUARTERLY if value == "@quarterly" else value).get_next()
    except ValueError as error:
        raise ValueError(
            f"this is no cron expression that Airflow can schedule by ({error}); one is, for instance, `30 5 * * 1`, "
            "for 5:30 on Mondays, or @daily"
        ) from None
    return value
