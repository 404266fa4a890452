"""A topic on the session's broker, and a project with one table that reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evergreen.lake.manifests import DataFile, Manifest, read_manifests
from evergreen.lake.raw import raw_folder
from evergreen.lake.rejects import Reject, read_rejects
from evergreen.project import Project
from evergreen.stages.ingest import IngestResult, ingest
from tests.brokers import KafkaServer

AS_OF = datetime(2013, 4, 1, 4, tzinfo=UTC)
COLUMNS = {
    "id": "int64", "due": "timestamp", "team": "category", "size": "float64", "part": "int64", "offset": "int64",
    "sent": "timestamp", "key": "string",
}  # fmt: skip


def job(number: int) -> dict[str, Any]:
    """One message."""
    due = datetime(2013, 1, 1) + timedelta(minutes=number)
    return {"id": number, "due": due.isoformat() + "Z", "team": ("red", "green")[number % 2], "size": number / 2}


class World:
    """What a test has: a broker, a topic, a project."""

    def __init__(
        self, broker: KafkaServer, make_project: Callable[..., Project], root: Path, partitions: int = 1,
        config: dict[str, str] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self.broker, self._make, self._root = broker, make_project, root
        self.topic = broker.make_topic(partitions=partitions, **(config or {}))
        self.project = self.with_options(**options)

    def with_options(self, **options: Any) -> Project:
        """The same lake with these options of the source."""
        source = {
            "kind": "kafka", "connection": "stream", "topic": self.topic, "partition_column": "part",
            "offset_column": "offset", "timestamp_column": "sent", "key_column": "key", "timeout": "20 seconds",
        }  # fmt: skip
        table = {
            "source": source | options, "key": ["id"], "known_at": "due",
            "columns": {name: {"type": kind} for name, kind in COLUMNS.items()},
        }  # fmt: skip
        params = {
            "name": "small", "tables": {"jobs": table},
            "prediction": {"rows": "jobs", "at": "due", "label": {"value": "size > 10", "known_at": "due"}},
            "features": {"row": {"size": "size"}}, "training": {"estimator": "hist_gradient_boosting"},
        }  # fmt: skip
        if (self._root / "params.yaml").exists():
            (self._root / "params.yaml").write_text(json.dumps(params))
            self.project = Project.load(self._root)
        else:
            self.project = self._make(json.dumps(params), self._root)
        return self.project

    def put(self, numbers: Iterable[int], partition: int = 0, **options: Any) -> None:
        self.broker.put(self.topic, [job(number) for number in numbers], partition, **options)

    def ingest(self) -> IngestResult:
        return ingest(self.project, "jobs", AS_OF)

    @property
    def manifests(self) -> list[Manifest]:
        return read_manifests(raw_folder(self.project.lake, "jobs"))

    @property
    def files(self) -> list[DataFile]:
        return [file for manifest in self.manifests for file in manifest.files]

    def rows(self) -> list[dict[str, Any]]:
        """Every row of the lake, in its order."""
        return [row for file in self.files for row in pq.read_table(self.project.lake / file.path).to_pylist()]

    def ids(self) -> list[int]:
        return [row["id"] for row in self.rows()]

    def rejects(self) -> list[Reject]:
        return read_rejects(self.project.lake, self.files, 1_000_000)

    def require_all(self) -> None:
        """The lake holds what an independent reader finds in the topic: each message once, as a row or as a reject."""
        wanted = {(part, offset): value for part, offset, _, value in self.broker.read(self.topic) if value is not None}
        rows = [(row["part"], row["offset"]) for row in self.rows()]
        aside = [tuple(map(int, one.place.removeprefix(f"{self.topic}[").split("]@"))) for one in self.rejects()]
        assert len({*rows, *aside}) == len(rows) + len(aside), "doubled"
        assert {*rows, *aside} == set(wanted), "missing, or of an aborted transaction"
        for row in self.rows():
            assert json.loads(wanted[row["part"], row["offset"]])["id"] == row["id"]
