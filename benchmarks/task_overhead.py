"""What Airflow costs a task: chains of eight in the local stack, empty and with the heavy imports, side by side.

    .venv/bin/python benchmarks/task_overhead.py [--runs 5]

Prints the median seconds of a chain and of a task, and the ratio of the two chains: near 1 means that the scheduler's
preloaded imports spare every task its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from evergreen.local import stack
from evergreen.local.api import AirflowApi
from evergreen.project import Project

TASKS = 8
DAGS = """
from airflow.sdk import dag, task


def chain(dag_id, body):
    @dag(dag_id=dag_id, schedule=None)
    def made():
        last = None
        for number in range({tasks}):
            @task(task_id=f"task_{{number}}")
            def one():
                exec(body)
            now = one()
            if last is not None:
                last >> now
            last = now
    return made()


empty = chain("empty", "pass")
heavy = chain("heavy", "import pandas, pyarrow, duckdb, ibis, sklearn.ensemble, mlflow, great_expectations, evidently")
"""
PORT = "9480"


def main() -> None:
    """Measure both chains in turn in one stack of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    os.environ.setdefault("EVERGREEN_PORT", PORT)
    with tempfile.TemporaryDirectory(prefix="evergreen-overhead-") as folder:
        project = scratch_project(Path(folder))
        stack.up(project)
        try:
            seconds = measure(project, runs)
        finally:
            stack.down(project)
    for dag, taken in seconds.items():
        median = statistics.median(taken)
        shown = ", ".join(f"{one:.1f}" for one in taken)
        print(f"{dag}: {median:.2f} s for {TASKS} tasks, {median / TASKS:.2f} s a task (runs: {shown})")
    print(f"heavy / empty: {statistics.median(seconds['heavy']) / statistics.median(seconds['empty']):.2f}")


def scratch_project(root: Path) -> Project:
    """A project of its own with only the two chains."""
    (root / "dags").mkdir()
    (root / "dags" / "chains.py").write_text(DAGS.format(tasks=TASKS))
    (root / "params.yaml").write_text((Path(__file__).parents[1] / "params.yaml").read_text())
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return Project.load(root, home=root / ".evergreen")


def measure(project: Project, runs: int) -> dict[str, list[float]]:
    """Seconds from the trigger of a run to its end, the chains in turn; one run of each warms up."""
    seconds: dict[str, list[float]] = {"empty": [], "heavy": []}
    with AirflowApi(project.home) as api:
        for dag in seconds:
            api.wait_for_dag(dag)
            api.unpause(dag)
        for number in range(runs + 1):
            for dag, taken in seconds.items():
                began = time.monotonic()
                api.wait(api.trigger(dag), 120)
                if number:
                    taken.append(time.monotonic() - began)
            print(f"run {number} of {runs} done", flush=True)
    return seconds


if __name__ == "__main__":
    main()
