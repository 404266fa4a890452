"""Files as a source finds them, and their age."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from evergreen.sources.base import Request
from evergreen.sources.catalog import open_source

SCHEMA = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us")), ("name", pa.string()), ("x", pa.float64())])


def settled(path: Path) -> Path:
    """As if nobody had written to the file for years."""
    os.utime(path, (0, 0))
    return path


def request_for(root: Path, schema: pa.Schema = SCHEMA, **read: Any) -> Request:
    return Request(root, "jobs", schema, datetime(2013, 4, 1, tzinfo=UTC), **read)


def deliveries(root: Path, kind: str = "csv", path: str = "drop*", schema: pa.Schema = SCHEMA, **options: Any) -> list:
    return list(open_source("jobs", {"kind": kind, "path": path, **options}).deliveries(request_for(root, schema)))


def read_one(root: Path, kind: str, schema: pa.Schema = SCHEMA, **options: Any) -> list[dict[str, Any]]:
    """The rows of the only delivery."""
    (delivery,) = deliveries(root, kind, schema=schema, **options)
    batches = list(delivery.batches())
    assert all(batch.schema == schema for batch in batches)
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, schema).to_pylist()
    assert delivery.receipt().bytes == sum(path.stat().st_size for path in root.glob("drop*"))
    return rows
