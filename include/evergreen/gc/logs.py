"""Logs of servers and tasks, and runs in Airflow's database; they are of no moment of data: the wall's clock counts."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from evergreen.errors import ServerError
from evergreen.files import remove
from evergreen.gc.kinds import Item, files_of, paths
from evergreen.gc.scene import Scene

DB_SECONDS = 600
# What of it grows with runs; tables of DAGs, assets and users are Airflow's own business.
TABLES = "dag_run,task_instance,task_instance_history,xcom,job,log,asset_event,callback,deadline,import_error"

UNDER_WAY = "select dag_id, run_id from dag_run where start_date < ? and state not in ('success', 'failed')"


class Logs:
    """Log files that nothing was written to for long."""

    name = "logs"
    why = "older than retention.logs"

    def find(self, scene: Scene) -> list[Item]:
        """Files of `logs/` and of Airflow's tasks, but for those that a server has open and may seldom write to."""
        folders = (scene.home.logs, scene.home.airflow / "logs")
        files = (Path(entry.path) for folder in folders for entry in files_of(folder))
        opened = {*scene.home.logs.glob("*.log")}
        return paths(path for path in files if path not in opened and scene.untouched(path, scene.retention.logs))

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Delete them, and the folders that are empty then."""
        for item in items:
            path = Path(item.id)
            if scene.untouched(path, scene.retention.logs):
                remove(path)
                _remove_empty(path.parent, scene.home.root)
                yield item


class AirflowRuns:
    """Runs in the local Airflow's database, with their task instances and XComs."""

    name = "Airflow runs"
    why = "started before retention.logs; the last scheduled run of each DAG stays"

    def find(self, scene: Scene) -> list[Item]:
        """The runs; their rows' size is not known, and SQLite uses their space again.

        Raises ServerError where one of that age is under way, which `airflow db clean` would delete with the others.
        """
        database = scene.home.airflow / "airflow.db"
        if not database.exists():
            return []
        query = (
            "select dag_id, run_id from dag_run where start_date < ? and state in ('success', 'failed') and id not in "
            "(select max(id) from dag_run where run_type != 'manual' group by dag_id) order by id"
        )
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
            before = _before(scene).strftime("%Y-%m-%d %H:%M:%S.%f")
            under_way = connection.execute(UNDER_WAY, [before]).fetchone()
            rows = connection.execute(query, [before]).fetchall()
        if under_way:
            raise ServerError(
                f"Airflow's run {'/'.join(under_way)} began before retention.logs and is not finished, and a clean-up "
                "of Airflow's database would delete it too: end it (in Airflow, mark it as failed), and clean up again"
            )
        return [Item(f"{dag}/{run}", 0) for dag, run in rows]

    def free(self, scene: Scene, items: Sequence[Item]) -> Iterator[Item]:
        """Leave it to `airflow db clean`, which may run beside the servers."""
        from evergreen.local.settings import environment

        if not items:
            return
        command = [sys.executable, "-m", "airflow", "db", "clean", "--yes", "--skip-archive", "--tables", TABLES]
        command += ["--clean-before-timestamp", _before(scene).isoformat(), "--batch-size", "500"]
        env = environment(scene.project)
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=DB_SECONDS, check=False)
        if done.returncode != 0:
            raise ServerError(f"`airflow db clean` failed; clean up again:\n{(done.stdout + done.stderr)[-2000:]}")
        left = {item.id for item in self.find(scene)}
        yield from (item for item in items if item.id not in left)


def _before(scene: Scene) -> datetime:
    return datetime.fromtimestamp(scene.started, UTC) - scene.retention.logs


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass  # somebody else's clean-up
        except OSError:
            return  # a task writes here again
        folder = folder.parent
