"""## Monitor: is the champion still right?

**What it does.** Joins the stored predictions with the labels that have become known, writes one record for the window
(calibration, log-loss and its skill, AUC), asks the rules of params.yaml whether it is an alarm, and draws Evidently's
drift report of the inputs against the champion's training window. An alarm raises a retrain request with its evidence:
once, in the ledger. The `request` asset only rings the retrain DAG's bell.

**When.** Weekly (`schedule.monitor`).

**What to read.** *Evidently report* and *Monitor summary* in the Details of `monitor`. Drift is context and by default
triggers nothing: season alone moves most inputs. `immature` means that too few labels are known yet to ask a rule.

**When it fails.** Nothing is raised by a failed monitor, and nothing is lost: the record of a window is written once.
Clear the task to run it again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

import assets
from deployed import AS_OF, as_of, cron, link, policy, project, projects, ring
from evergreen.project import Project


@task(multiple_outputs=False)
def monitor(name: str) -> dict[str, Any]:
    """Record the window, ask the rules, draw the drift report."""
    from evergreen.stages import monitor as stage

    result = stage.monitor(project(name), as_of(name))
    pages = f"/evergreen/{name}_monitor/pages/reports/{name}"
    link("drift_report", result.drift_report and f"{pages}/{result.drift_report}")
    link("monitor_summary", result.summary and f"{pages}/{result.summary}")
    return result.model_dump(mode="json")


@task(multiple_outputs=False)
def request_retrain(name: str, monitored: dict[str, Any]) -> None:
    """Ring the retrain DAG's bell; skipped unless a rule alarmed."""
    if not monitored["alarms"] or not monitored["request"]:
        raise AirflowSkipException(monitored["text"])
    ring(assets.request(name), as_of=monitored["as_of"], request=monitored["request"])


def build(name: str, deployed: Project) -> DAG:
    """The monitor DAG of one use case."""
    with DAG(
        **policy(deployed, "monitor", timedelta(minutes=30)),
        description="Judge the champion on labels that have become known; ask for a retrain where it fails",
        schedule=cron(deployed.params.schedule.monitor),
        doc_md=__doc__,
        max_active_runs=1,
        params={"as_of": AS_OF},
    ) as dag:
        request_retrain.override(outlets=[assets.request(name)])(name, monitor(name))
    return dag


for deployed_project in projects():
    globals()[f"{deployed_project.name}_monitor"] = build(deployed_project.name, deployed_project)
