"""Celery's settings: Airflow's own, and patience with a broker that is away for a while.

A task that cannot be handed to the broker is failed by Airflow's scheduler, and uses up a retry: as many as an outage
has seconds between them. So the handing over itself waits for Redis, up to 45 seconds.
"""

from __future__ import annotations

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG

CELERY_CONFIG = {
    **DEFAULT_CELERY_CONFIG,
    "task_publish_retry": True,
    "task_publish_retry_policy": {"max_retries": 45, "interval_start": 1, "interval_step": 0, "interval_max": 1},
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
}
