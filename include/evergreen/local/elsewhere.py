"""A stack that somebody else started, as docker compose does: named by variables, and only talked to."""

from __future__ import annotations

import os

from evergreen.local.airflow import USER
from evergreen.local.stack import Stack


def airflow_url() -> str | None:
    """EVERGREEN_AIRFLOW_URL, where this process finds Airflow's API; None where the stack is this machine's own."""
    return os.environ.get("EVERGREEN_AIRFLOW_URL") or None


def named() -> Stack | None:
    """The stack of EVERGREEN_AIRFLOW_URL, with the addresses that people's browsers know."""
    url = airflow_url()
    if url is None:
        return None
    pages = os.environ.get("AIRFLOW__API__BASE_URL") or url
    mlflow = os.environ.get("EVERGREEN_MLFLOW_URL") or os.environ.get("MLFLOW_TRACKING_URI") or "nowhere"
    secret = "AIRFLOW_ADMIN_PASSWORD in .env"
    return Stack(pages, mlflow, USER, secret, {}, started=False, seconds=0, local=False)
