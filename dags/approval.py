"""The task that asks a person whether a build shall be promoted, on Airflow's own page for it.

The task waits in the state `awaiting_input`, which takes no worker. Its deadline is the ledger's, so that a run that
comes to ask late does not give more time than the verdict did.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowSkipException

from alerts import AskNotifier
from deployed import project

APPROVE, REJECT = "Approve", "Reject"
COMMENT = Param(
    "",
    type="string",
    format="multiline",
    title="Comment",
    description="Why. The ledger keeps it with your name.",
)


class AskOperator(HITLOperator):
    """Ask about the decision of the task `gate`; skipped where nobody need be asked, and the log says why."""

    def __init__(self, *, use_case: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case

    def execute(self, context: Context) -> Any:
        """Ask, and wait until somebody answers or the deadline has passed."""
        from evergreen.stages import approve as stage

        pull = context["ti"].xcom_pull
        found = {
            "Model card": pull(task_ids="track", key="link_model_card"),
            "MLflow run": pull(task_ids="track", key="link_mlflow_run"),
        }
        links = {text: url for text, url in found.items() if url}
        forced = bool(context["params"]["force_promotion"])
        asked = stage.question(project(self.use_case), pull(task_ids="gate")["decision"], links, forced)
        if isinstance(asked, str):
            raise AirflowSkipException(asked)
        left = asked.deadline - datetime.now(UTC)
        if left <= timedelta(0):
            return None
        self.subject, self.body, self.response_timeout = asked.subject, asked.body, left
        self.assigned_users = [{"id": user, "name": user} for user in asked.approvers]
        return super().execute(context)


def ask(name: str) -> AskOperator:
    """The task that asks. Its timeout is what a run has that asks at once."""
    return AskOperator(
        task_id="ask",
        use_case=name,
        subject=f"{name}: promote the candidate?",
        options=[APPROVE, REJECT],
        defaults=REJECT,
        params={"comment": COMMENT},
        notifiers=AskNotifier(),
        response_timeout=project(name).params.gate.approval_deadline,
    )
