"""Reads a source as ingest does, one delivery after the other, and keeps what was taken."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evergreen.lake.manifests import read_manifests
from evergreen.lake.raw import raw_folder
from evergreen.project import Project
from evergreen.sources.base import Receipt, Request
from evergreen.sources.catalog import open_source


def raw_ids(project: Project) -> list[int]:
    """The ids in the lake's table `jobs`, in the order in which they came."""
    files = [file for one in read_manifests(raw_folder(project.lake, "jobs")) for file in one.files]
    return [n for file in files for n in pq.read_table(project.lake / file.path)["id"].to_pylist()]


class Reader:
    """The rows of one source, read again and again with the position of the last read."""

    def __init__(self, schema: pa.Schema, **options: Any) -> None:
        self.schema, self.options = schema, options
        self.origins: dict[str, str] = {}
        self.contents: dict[str, str] = {}
        self.position: dict[str, Any] = {}
        self.receipts: list[Receipt] = []

    def request(self) -> Request:
        return Request(
            Path("."), "jobs", self.schema, datetime(2013, 4, 1, tzinfo=UTC), self.position, self.origins, self.contents
        )

    def sample(self, rows: int) -> Any:
        return open_source("jobs", self.options).sample(self.request(), rows)

    def read(self) -> list[dict[str, Any]]:
        """The rows of every delivery that adds something; raises the first refusal."""
        request, rows = self.request(), []
        for delivery in open_source("jobs", self.options).deliveries(request):
            found = pa.Table.from_batches(list(delivery.batches()), self.schema).to_pylist()
            receipt = delivery.receipt()
            self.receipts.append(receipt)
            self.position = dict(receipt.position) or self.position
            if request.is_new(delivery.origin, receipt.sha256) and found:
                self.contents.setdefault(receipt.sha256, delivery.origin)
                self.origins[delivery.origin] = receipt.sha256
                rows += found
        return rows
