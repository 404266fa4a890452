"""What people are told when a run fails, is late, or waits for their answer.

Every notice is one line of JSON in the log. Where `EVERGREEN_ALERT_URL` is set it is also posted there, in the shape
that Slack, Mattermost and Teams webhooks take (`{"text": ...}`).
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from http.client import HTTPException
from typing import Any

from airflow.sdk import BaseNotifier, Context

log = logging.getLogger("evergreen.alerts")


class FailureNotifier(BaseNotifier):
    """Tells that a task or a run failed, and where to look."""

    def notify(self, context: Context) -> None:
        """Send the notice; a webhook that fails is logged and hides nothing."""
        instance = context.get("ti") or context.get("task_instance")
        error = context.get("exception")
        send(
            {
                "event": "failed",
                "dag": context["dag"].dag_id,
                "run": context.get("run_id"),
                "task": getattr(instance, "task_id", None),
                "reason": str(error or context.get("reason") or "see the task's log"),
            }
        )


class AskNotifier(BaseNotifier):
    """Tells that a build waits for an approval, and where to answer."""

    def notify(self, context: Context) -> None:
        """Send the notice from the task that asks, before it waits."""
        task: Any = context["task"]
        send(
            {
                "event": "approval",
                "dag": context["dag"].dag_id,
                "run": context.get("run_id"),
                "task": task.task_id,
                "reason": task.subject,
                "answer_at": task.generate_link_to_ui_from_context(context=context),
            },
            logging.INFO,
        )


def deadline_missed(dag_id: str, **_: Any) -> None:
    """Called by Airflow when a run has not ended by its deadline."""
    send({"event": "late", "dag": dag_id, "reason": "the run's deadline has passed and it has not ended"})


def send(notice: dict[str, Any], level: int = logging.ERROR) -> None:
    """Log a notice and post it to the webhook, if one is configured."""
    log.log(level, "%s", json.dumps(notice))
    url = os.environ.get("EVERGREEN_ALERT_URL")
    if not url:
        return
    try:
        _post(url, {"text": "Evergreen: " + json.dumps(notice)})
    except (OSError, ValueError, HTTPException) as error:  # a URL that is none is a ValueError
        log.warning("the alert could not be posted: %s", error)


def _post(url: str, body: dict[str, str]) -> None:
    if not url.lower().startswith(("http://", "https://")):  # urllib opens files, too
        raise ValueError("EVERGREEN_ALERT_URL must be an http or https URL")
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()
