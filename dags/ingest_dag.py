"""## Ingest: from the sources to checked rows

**What it does.** For every table of params.yaml: reads what its source has that the lake does not (`ingest`), and
checks it against the table's contract (`validate`). Rows that break the contract go to quarantine with the rule that
they broke; the rest go on. New clean rows ring the `clean` asset, which starts scoring.

**When.** Hourly (`schedule.ingest`). Running it again adds nothing: a file is known by its content.

**When it fails.**
- `ingest` failed: the source cannot be read, or a file cannot be parsed. The message names the file and what is wrong
  with it, or the connection that Airflow does not know. Files that were fine are in the lake, and are validated and
  published. Mend the source and clear the task.
- `validate` failed: a file broke its contract critically, and nothing of it counts. Open *Validation result* in the
  task's Details. If the file is right, mend the contract in params.yaml and run `evergreen validate <table> --again`,
  which admits each row once. If it is wrong, send a mended one and discard this one:
  `evergreen validate <table> --discard <file>`. Then clear the task. It is not retried by itself.
- One table's failure does not stop another's; `all_tables_checked` turns red so that the run does.

**Backfill.** Airflow's own backfill works; each run stands at the end of its interval. Rows that correct earlier ones
count as known from the last ingest's moment on, never from an earlier run's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TriggerRule, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

import assets
from deployed import AS_OF, as_of, cron, hand_over, link, policy, project, projects, ring
from evergreen.project import Project


@task(multiple_outputs=False, map_index_template="{{ table }}")
def ingest(name: str, table: str) -> dict[str, Any]:
    """Bring what the source has and the lake does not."""
    from evergreen.stages import ingest as stage

    get_current_context()["table"] = table
    hand_over(name, table)
    return stage.ingest(project(name), table, as_of(name)).model_dump(mode="json")


@task(multiple_outputs=False, map_index_template="{{ table }}", trigger_rule=TriggerRule.ALL_DONE)
def validate(name: str, table: str) -> dict[str, Any]:
    """Check new rows against the table's contract, also where `ingest` failed: it may have brought some."""
    from evergreen.stages import validate as stage

    context = get_current_context()
    context["table"] = table
    try:
        result, refused = stage.validate(project(name), table), None
    except stage.FilesRefused as error:
        result, refused = error.result, error
    link("validation_result", result.report and f"/evergreen/{name}_ingest/pages/{result.report}")
    found = result.model_dump(mode="json")
    if refused is not None:  # no retry would mend it, and would forget what `publish` is to be told
        context["ti"].xcom_push(key="return_value", value=found)
        raise AirflowFailException(str(refused)) from refused
    return found


@task(multiple_outputs=False, trigger_rule=TriggerRule.ALL_DONE)
def publish(name: str) -> dict[str, int]:
    """Tell who waits for clean rows that there are some; skipped where there are none."""
    # A list of one task: of a task by its name alone, one result would come bare.
    pull = get_current_context()["ti"].xcom_pull
    results = pull(task_ids=["table.validate"])
    admitted = {result["table"]: result["admitted"] + result["readmitted"] for result in results if result}
    rows = {table: count for table, count in admitted.items() if count}
    if not rows:
        raise AirflowSkipException("no new rows; nothing downstream needs to run")
    shown = ("rows", "bytes", "read_bytes", "position", "lag")
    read = {one["table"]: {key: one[key] for key in shown} for one in pull(task_ids=["table.ingest"]) if one}
    ring(assets.clean(name), as_of=as_of(name).isoformat(), rows=rows, ingested=read)
    return rows


def tables_of(deployed: Project) -> str:
    """The use case's tables as a part of the DAG's documentation."""
    rows = [
        f"| {name} | {table.source['kind']} | {' '.join(table.description.split()).replace('|', chr(92) + '|')} |"
        for name, table in deployed.params.tables.items()
    ]
    return "\n".join(["**Its tables.**", "", "| table | source | description |", "| --- | --- | --- |", *rows, ""])


def build(name: str, deployed: Project) -> DAG:
    """The ingest DAG of one use case."""

    @task_group(group_id="table")
    def one_table(table: str) -> None:
        ingest(name, table) >> validate(name, table)

    with DAG(
        **policy(deployed, "ingest", timedelta(minutes=30)),
        description="From the sources to checked rows, table by table",
        schedule=cron(deployed.params.schedule.ingest),
        doc_md=f"{__doc__}\n{tables_of(deployed)}",
        max_active_runs=1,
        params={"as_of": AS_OF},
    ) as dag:
        tables = one_table.expand(table=list(deployed.params.tables))
        tables >> publish.override(outlets=[assets.clean(name)])(name)
        checked = EmptyOperator(task_id="all_tables_checked")
        tables >> checked
        dag.get_task("table.ingest") >> checked  # `validate` runs after a failed `ingest` too, and may succeed
    return dag


for deployed_project in projects():
    globals()[f"{deployed_project.name}_ingest"] = build(deployed_project.name, deployed_project)
