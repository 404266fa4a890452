"""`python -m tests.pipeline.run_dag DAG CONF`: one run of a real DAG by `dag.test()`; prints each task's state as JSON.

A process of its own, since Airflow reads its settings once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

DAGS = Path(__file__).parents[2] / "dags"


def main(dag_id: str, conf: str) -> None:
    """Run the DAG; its last line of output is a JSON object: task (with map index) to state."""
    from airflow.dag_processing.dagbag import DagBag

    sys.path.insert(0, str(DAGS))  # as a DAG processor does
    dag = DagBag(DAGS).dags[dag_id]
    dag.deadline = None  # dag.test() of Airflow 3.3.2 cannot read the deadline back; the scheduler can
    run = dag.test(run_conf=json.loads(conf))
    states = {f"{ti.task_id}[{ti.map_index}]": str(ti.state) for ti in run.get_task_instances()}
    print("\n" + json.dumps({"state": str(run.state), "tasks": states}))


if __name__ == "__main__":
    main(*sys.argv[1:])
