"""## Score: what the champion says

**What it does.** Predicts the rows whose moment of prediction lies in the window that ends at `as_of`, with the
champion of that moment, on features as they were known then. A prediction is stored once per row and model version,
with its inputs, however often this runs.

**When.** After an ingest that brought rows (the `clean` asset), and hourly (`schedule.score`).

**When it fails.** It needs no MLflow: the champion is at hand in `.evergreen/models`, and is loaded only if its hash is
the recorded one. A table that stopped arriving does not stop scoring; the log names it under *late*. Before the first
promotion there is nothing to score with, which is no failure. Clear the task to run it again.

**Params.** `window` looks further back than the default, for example after an outage.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetOrTimeSchedule, Param, get_current_context, task

import assets
from deployed import AS_OF, as_of, cron, policy, project, projects, ring
from evergreen.project import Project


@task(multiple_outputs=False)
def score(name: str) -> dict[str, Any]:
    """Predict what is due and has not been predicted."""
    from evergreen.params.base import parse_duration
    from evergreen.stages import score as stage

    window = get_current_context()["params"].get("window")
    moment = as_of(name)
    result = stage.score(project(name), moment, window=parse_duration(window) if window else None)
    ring(assets.predictions(name), as_of=moment.isoformat(), rows=result.rows)
    return result.model_dump(mode="json")


def build(name: str, deployed: Project) -> DAG:
    """The score DAG of one use case."""
    hourly = cron(deployed.params.schedule.score)
    after_ingest = [assets.clean(name)]
    with DAG(
        **policy(deployed, "score", timedelta(minutes=20)),
        description="Predict what is due, with the champion of that moment",
        schedule=AssetOrTimeSchedule(timetable=hourly, assets=after_ingest) if hourly else after_ingest,
        doc_md=__doc__,
        max_active_runs=1,
        params={
            "as_of": AS_OF,
            "window": Param(
                None,
                type=["null", "string"],
                pattern=r"^\d+ (hour|day|week)s?$",
                title="Window",
                description="How far back unscored rows are looked for, such as `30 days`. Empty: `scoring.window`.",
            ),
        },
    ) as dag:
        score.override(outlets=[assets.predictions(name)])(name)
    return dag


for deployed_project in projects():
    globals()[f"{deployed_project.name}_score"] = build(deployed_project.name, deployed_project)
