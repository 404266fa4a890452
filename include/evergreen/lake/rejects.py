"""Records of a delivery that cannot be rows of their table, such as a message that is no JSON.

They are kept as they came, each with its reason, in a Parquet file beside the delivery's rows; the manifest that
commits the rows commits it too. So they neither hold up the good ones nor are lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import LakeError
from evergreen.files import naming
from evergreen.lake.manifests import DataFile
from evergreen.paths import file_sha256

if TYPE_CHECKING:
    import pyarrow as pa

HELD = 1000  # records in memory
HELD_BYTES = 4 << 20


@dataclass(frozen=True)
class Reject:
    """One record: where it was, why it cannot be a row, and what it held."""

    place: str  # as the source names it, such as arrivals[3]@1207: topic, partition, offset
    reason: str
    content: bytes
    key: bytes | None = None
    time: datetime | None = None  # UTC, where the source has one


class RejectWriter:
    """Collects the rejects of one delivery in a temporary file; no file where there are none."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self._held: list[Reject] = []
        self._bytes = 0
        self._writer: Any = None

    def add(self, record: Reject) -> None:
        self._held.append(record)
        self.rows += 1
        self._bytes += len(record.content)
        if len(self._held) >= HELD or self._bytes >= HELD_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is held; the file is whole after it."""
        if self._held:
            self._flush()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with naming(self.path):
                writer.close()

    def abandon(self) -> None:
        """Let go of the file without what is held; raises what its closing raises."""
        self._held = []
        self.close()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from evergreen.lake.schema import WRITER

        with naming(self.path):
            if self._writer is None:
                self._writer = pq.ParquetWriter(self.path, _schema(), **WRITER)
            self._writer.write_table(pa.Table.from_pylist([vars(record) for record in self._held], _schema()))
        self._held, self._bytes = [], 0


def read_rejects(lake: Path, files: Iterable[DataFile], limit: int) -> list[Reject]:
    """The first `limit` rejects of these files' deliveries. Raises LakeError where they are not as committed."""
    import pyarrow.parquet as pq

    found: list[Reject] = []
    for file in files:
        if file.rejects and len(found) < limit:
            place = lake / file.rejects.path
            if not place.exists() or file_sha256(place) != file.rejects.sha256:
                raise LakeError(f"{place} is missing or is not the file that ingest wrote; restore it from a backup")
            batch = next(pq.ParquetFile(place).iter_batches(batch_size=limit - len(found)))
            found += [Reject(**row) for row in batch.to_pylist()]
    return found


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([
        ("place", pa.string()), ("reason", pa.string()), ("content", pa.binary()), ("key", pa.binary()),
        ("time", pa.timestamp("us")),
    ])  # fmt: skip
