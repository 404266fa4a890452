"""A stack that somebody else started, as docker compose does: named by variables, and only talked to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from evergreen.local.airflow import USER
from evergreen.local.health import client
from evergreen.local.stack import ServerStatus, Stack


def airflow_url() -> str | None:
    """EVERGREEN_AIRFLOW_URL, where this process finds Airflow's API; None where the stack is this machine's own."""
    return os.environ.get("EVERGREEN_AIRFLOW_URL") or None


def named() -> Stack | None:
    """The stack of EVERGREEN_AIRFLOW_URL, with the addresses that people's browsers know."""
    url = airflow_url()
    if url is None:
        return None
    secret = "AIRFLOW_ADMIN_PASSWORD in .env"
    return Stack(_airflow_page(url), _mlflow_page(), USER, secret, {}, started=False, seconds=0, local=False)


def status(url: str) -> list[ServerStatus]:
    """What the servers say of themselves: those of Airflow at `url`, and the MLflow that the loop tracks with."""
    import httpx

    found: dict[str, Any] = {}
    with client(timeout=5) as http:
        try:
            found = http.get(f"{url}/api/v2/monitor/health").json()
        except (httpx.HTTPError, ValueError):
            found = {}
        answers = {"api-server": bool(found)}
        answers |= {
            name.replace("_", "-"): found.get(name, {}).get("status") == "healthy"
            for name in ("scheduler", "dag_processor", "triggerer")
        }
        if uri := os.environ.get("MLFLOW_TRACKING_URI"):
            try:
                answers["mlflow"] = http.get(f"{uri.rstrip('/')}/health").is_success
            except httpx.HTTPError:
                answers["mlflow"] = False
    pages = {"api-server": _airflow_page(url), "mlflow": _mlflow_page()}
    return [
        ServerStatus(name, "running" if well else "away", well, None, pages.get(name), Path())
        for name, well in answers.items()
    ]


def _airflow_page(url: str) -> str:
    return os.environ.get("AIRFLOW__API__BASE_URL") or url


def _mlflow_page() -> str:
    return os.environ.get("EVERGREEN_MLFLOW_URL") or os.environ.get("MLFLOW_TRACKING_URI") or "nowhere"
