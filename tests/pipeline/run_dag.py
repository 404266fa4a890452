"""`python -m tests.pipeline.run_dag DAG CONF`: one run of a real DAG by `dag.test()`; prints each task's state as JSON.

A process of its own, since Airflow reads its settings once. Without CONF it stays: each line of its input is the CONF
of another run of the same DAG.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DAGS = Path(__file__).parents[2] / "dags"


# What a retrain run skips that neither searches nor asks anybody.
SKIPPED = {"search.trial[-1]", "search.choose[-1]", "ask[-1]", "approve[-1]"}


def main(dag_id: str, conf: str | None = None) -> None:
    """Run the DAG without retries; its last line of output is a JSON object: state, and tasks' states and XComs."""
    from airflow.dag_processing.dagbag import DagBag

    sys.path.insert(0, str(DAGS))  # as a DAG processor does
    dag = DagBag(DAGS).dags[dag_id]
    dag.deadline = None  # dag.test() of Airflow 3.3.2 cannot read the deadline back; the scheduler can
    for task in dag.tasks:
        task.retries = 0
    for line in sys.stdin if conf is None else [conf]:
        _run(dag, line)


def _run(dag: Any, conf: str) -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    run = dag.test(run_conf=json.loads(conf))
    states = {f"{ti.task_id}[{ti.map_index}]": str(ti.state) for ti in run.get_task_instances()}
    said: dict[str, dict[str, Any]] = {}
    with create_session() as session:
        for row in session.scalars(XComModel.get_many(run_id=run.run_id, dag_ids=dag.dag_id)):
            said.setdefault(f"{row.task_id}[{row.map_index}]", {})[row.key] = XComModel.deserialize_value(row)
    print("\n" + json.dumps({"state": str(run.state), "tasks": states, "xcoms": said}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
