"""A project that reads one PostgreSQL table, and the comparison of its lake with that table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evergreen.lake.manifests import read_manifests
from evergreen.lake.raw import raw_folder
from evergreen.project import Project
from evergreen.stages.ingest import IngestResult, ingest
from tests.servers import PostgresServer

AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)
RUN = """
import sys
from evergreen.project import Project
from evergreen.stages import ingest as stage
from tests.sources.postgres_worlds import AS_OF
stage.COMMIT_FILES = 2
stage.ingest(Project.load(sys.argv[1]), "jobs", AS_OF)
"""
TYPES = {"id": "int64", "due": "timestamp", "version": "int64"}


class World:
    """`schema.jobs`: rows with a key and a version, which each update raises by one."""

    def __init__(
        self, server: PostgresServer, make_project: Callable[..., Project], root: Path, **options: Any
    ) -> None:
        self.server, self.schema = server, f"w{abs(hash(root)):x}"
        self.table = f"{self.schema}.jobs"
        server.run(
            f"CREATE SCHEMA {self.schema}",
            f"CREATE TABLE {self.table} (id bigint PRIMARY KEY, due timestamptz DEFAULT now(), version int DEFAULT 0,"
            " filler text DEFAULT repeat('x', 100)) WITH (fillfactor = 50)",
        )
        self.project = make_project(self.params(**options), root)

    def params(self, types: dict[str, str] = TYPES, **options: Any) -> str:
        source = {"kind": "postgres", "connection": "warehouse", "table": self.table, **options}
        columns = {name: {"type": type_} for name, type_ in types.items()}
        return f"""
name: small
tables:
  jobs: {{source: {json.dumps(source)}, key: [id], known_at: due, columns: {json.dumps(columns)}}}
prediction: {{rows: jobs, at: due, label: {{value: version > 10, known_at: due}}}}
features: {{row: {{version: version}}}}
training: {{estimator: hist_gradient_boosting}}
"""

    def redeclare(self, **options: Any) -> None:
        """Change the source's options, or the columns, in params.yaml."""
        (self.project.root / "params.yaml").write_text(self.params(**options))
        self.project = Project.load(self.project.root)

    def insert(self, first: int, count: int) -> None:
        self.server.run(f"INSERT INTO {self.table} (id) SELECT generate_series({first}, {first + count - 1})")

    def update(self, condition: str) -> None:
        self.server.run(f"UPDATE {self.table} SET version = version + 1 WHERE {condition}")

    def ingest(self) -> IngestResult:
        return ingest(self.project, "jobs", AS_OF)

    def killed_at(self, point: str) -> int:
        """The exit code of an ingest in a process of its own that a fault point may kill."""
        run = subprocess.run(
            [sys.executable, "-c", RUN, str(self.project.root)],
            env={**os.environ, "EVERGREEN_KILL_AT": point, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False,
        )  # fmt: skip
        return run.returncode

    def taken(self) -> Counter[tuple[int, int]]:
        """How often each version of each row is in the lake."""
        files = [f for one in read_manifests(raw_folder(self.project.lake, "jobs")) for f in one.files]
        tables = [pq.read_table(self.project.lake / file.path, columns=["id", "version"]) for file in files]
        return Counter(pair for table in tables for pair in zip(*table.to_pydict().values(), strict=True))

    def there(self) -> set[tuple[int, int]]:
        """The rows of the table, each as its key and version."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT id, version FROM {self.table}")
            return set(cursor.fetchall())

    def assert_whole(self, repeats: bool = False) -> None:
        """Nothing is missing, and unless `repeats` nothing came twice."""
        taken, there = self.taken(), self.there()
        newest = {}
        for key, version in taken:
            newest[key] = max(version, newest.get(key, -1))
        assert newest == dict(there), "missing"
        assert repeats or set(taken.values()) <= {1}, "doubled"


MakeWorld = Callable[..., World]
