"""## Ingest: from the sources to checked rows

**What it does.** For every table of params.yaml: reads what its source has that the lake does not (`ingest`), and
checks it against the table's contract (`validate`). Rows that break the contract go to quarantine with the rule that
they broke; the rest go on. New clean rows ring the `clean` asset, which starts scoring.

**When.** Hourly (`schedule.ingest`). Running it again adds nothing: a file is known by its content.

**When it fails.**
- `ingest` failed: the source cannot be read, or a file cannot be parsed. The message names the file and what is wrong
  with it. Files that were fine are in the lake. Mend the source and clear the task.
- `validate` failed: a file broke its contract critically, and nothing of it counts. Open *Validation result* in the
  task's Details. Mend the file and send it again, or mend the contract in params.yaml and run
  `evergreen validate <table> --again`, which admits each row once.
- One table's failure does not stop another's; `all_tables_checked` turns red so that the run does.

**Backfill.** Airflow's own backfill works; each run stands at the end of its interval.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TriggerRule, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

import assets
from deployed import AS_OF, as_of, cron, link, policy, project, projects, ring
from evergreen.project import Project


@task(multiple_outputs=False, map_index_template="{{ table }}")
def ingest(name: str, table: str) -> dict[str, Any]:
    """Bring what the source has and the lake does not."""
    from evergreen.stages import ingest as stage

    get_current_context()["table"] = table
    return stage.ingest(project(name), table, as_of(name)).model_dump(mode="json")


@task(multiple_outputs=False, map_index_template="{{ table }}")
def validate(name: str, table: str, ingested: dict[str, Any]) -> dict[str, Any]:
    """Check new rows against the table's contract."""
    from evergreen.stages import validate as stage

    get_current_context()["table"] = table
    result = stage.validate(project(name), table)
    link("validation_result", result.report and f"/evergreen/{name}_ingest/pages/{result.report}")
    return result.model_dump(mode="json")


@task(multiple_outputs=False, trigger_rule=TriggerRule.ALL_DONE)
def publish(name: str) -> dict[str, int]:
    """Tell who waits for clean rows that there are some; skipped where there are none."""
    results = get_current_context()["ti"].xcom_pull(task_ids="table.validate") or []
    admitted = {result["table"]: result["admitted"] + result["readmitted"] for result in results if result}
    rows = {table: count for table, count in admitted.items() if count}
    if not rows:
        raise AirflowSkipException("no new rows; nothing downstream needs to run")
    ring(assets.clean(name), as_of=as_of(name).isoformat(), rows=rows)
    return rows


def build(name: str, deployed: Project) -> DAG:
    """The ingest DAG of one use case."""

    @task_group(group_id="table")
    def one_table(table: str) -> None:
        validate(name, table, ingest(name, table))

    with DAG(
        **policy(deployed, "ingest", timedelta(minutes=30)),
        description="From the sources to checked rows, table by table",
        schedule=cron(deployed.params.schedule.ingest),
        doc_md=__doc__,
        max_active_runs=1,
        params={"as_of": AS_OF},
    ) as dag:
        tables = one_table.expand(table=list(deployed.params.tables))
        tables >> publish.override(outlets=[assets.clean(name)])(name)
        tables >> EmptyOperator(task_id="all_tables_checked")
    return dag


for deployed_project in projects():
    globals()[f"{deployed_project.name}_ingest"] = build(deployed_project.name, deployed_project)
