"""Ingest: the new rows of one table, from its source into raw Parquet, each exactly once.

Data and position are committed in one manifest. A run that is killed leaves at most files that no manifest names;
the next run deletes them and reads from the last manifest on.
"""

from __future__ import annotations

import json
import logging
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from evergreen import faults
from evergreen.disk import full_disk_is_said
from evergreen.errors import ParamsError, SourceError
from evergreen.lake.manifests import DataFile, Manifest, commit, read_manifests, read_position
from evergreen.lake.raw import RawWriter, raw_folder, remove_orphans
from evergreen.lake.rejects import read_rejects
from evergreen.lake.schema import FILE_ROWS, arrow_schema
from evergreen.locks import lock
from evergreen.project import Project
from evergreen.sources.base import Acknowledging, Delivery, Request
from evergreen.sources.catalog import open_source

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

SHOWN = 20  # entries of a list in a position that people see: of some sources it holds thousands of hashes
COMMIT_FILES = 256  # many small deliveries share a manifest, up to this many files or FILE_ROWS rows


class Refusal(BaseModel):
    """A delivery of which nothing was taken."""

    model_config = ConfigDict(frozen=True)

    origin: str
    reason: str


class IngestResult(BaseModel):
    """What one run added, and where the table stands after it."""

    model_config = ConfigDict(frozen=True)

    table: str
    files: int  # raw files added
    rows: int
    bytes: int  # of Parquet
    read_bytes: int  # of the source
    seq: int | None  # the table's last manifest; None where nothing was ever committed
    rows_known: int  # rows of all manifests
    last_origin: str | None  # the newest delivery committed
    position: dict[str, Any] = {}  # for people: of a long list its length; the whole of it is in the manifest
    lag: str = ""  # what the source holds beyond the position, where it tells
    rejects: int = 0  # records of those deliveries that cannot be rows; kept beside them in the lake
    refused: tuple[Refusal, ...] = ()


class DeliveriesRefused(SourceError):
    """Some deliveries were refused; the others are committed, as `result` says."""

    def __init__(self, result: IngestResult) -> None:
        reasons = "\n".join(f"  {refusal.reason}" for refusal in result.refused)
        super().__init__(
            f"{result.table}: {len(result.refused)} refused, nothing of them was taken "
            f"({result.rows} rows of others were). Mend or remove them, then ingest again:\n{reasons}"
        )
        self.result = result


@full_disk_is_said()
def ingest(project: Project, table: str, as_of: datetime) -> IngestResult:
    """Commit what the source of `table` holds beyond the last manifest; the same run twice adds nothing.

    The manifests of a table never go back in time: a run at an earlier `as_of` than the last one commits at the last
    one's, since what it brings was not known before.

    Raises ParamsError for an unknown table or bad options, SourceError where the source cannot be read, and
    DeliveriesRefused at the end, after all good deliveries were committed, where some could not be taken.
    """
    if table not in project.params.tables:
        raise ParamsError(f"`{table}` is not a table of params.yaml; known: {', '.join(project.params.tables)}")
    source = open_source(table, project.params.tables[table].source)
    with lock(project.home, f"{project.name}/ingest/{table}"):
        project.refresh()
        run = _Run(project, table, as_of)
        try:
            for delivery in source.deliveries(run.request):
                if not run.take(delivery) and source.ordered:
                    break
        except SourceError:
            run.commit()  # what was read before the source failed is good
            raise
        run.commit()
        if isinstance(source, Acknowledging):
            source.acknowledge(run.request, run.position)
        result = run.result()
    log.info(
        "%s: %d files, %d rows, %d bytes added; %d rows known%s%s", table, result.files, result.rows, result.bytes,
        result.rows_known, f"; position {json.dumps(result.position)}" if result.position else "",
        f"; {result.lag} behind" if result.lag else "",
    )  # fmt: skip
    if result.refused:
        raise DeliveriesRefused(result)
    return result


class _Run:
    """One ingest under the table's lock: pending files, and what was committed."""

    def __init__(self, project: Project, table: str, as_of: datetime) -> None:
        self.lake, self.table, self.as_of = project.lake, table, as_of
        self.manifests: list[Manifest] = read_manifests(raw_folder(self.lake, table))
        self.before = len(self.manifests)
        if orphans := remove_orphans(self.lake, table, self.manifests):
            log.info("%s: removed %d files of a run that did not finish", table, orphans)
        self.schema: pa.Schema = arrow_schema(project.params.tables[table].columns)
        files = [file for manifest in self.manifests for file in manifest.files]
        self.origins = {file.origin: file.origin_sha256 for file in files}
        self.contents = {file.origin_sha256: file.origin for file in reversed(files)}
        sizes = {file.origin_bytes for file in files}
        last = self.manifests[-1:]  # which has the position of the one before where it brought none
        self.position = read_position(raw_folder(self.lake, table), last[0].seq) if last else {}
        self.request = Request(
            root=project.root, table=table, schema=self.schema, as_of=as_of, position=self.position,
            origins=self.origins, contents=self.contents, sizes=None if None in sizes else frozenset(sizes),
        )  # fmt: skip
        self.pending: list[DataFile] = []
        self.moved = False  # the position, beyond the last manifest's
        self.refused: list[Refusal] = []
        self.read_bytes, self.lag = 0, ""

    def take(self, delivery: Delivery) -> bool:
        """Write a delivery's rows; False where it was refused, which leaves nothing of it."""
        writer = RawWriter(self.lake, self.table, self.schema)
        try:
            with closing(delivery.batches()) as batches:
                rows = writer.write(batches)
            receipt = delivery.receipt()
        except SourceError as error:
            writer.discard()
            log.warning("%s: refused %s", self.table, error)
            self.refused.append(Refusal(origin=delivery.origin, reason=str(error)))
            return False
        faults.point("ingest.written")
        log.info("%s: read %s, %d rows, %d bytes", self.table, delivery.origin, rows, receipt.bytes)
        self.read_bytes, self.lag = self.read_bytes + receipt.bytes, receipt.lag
        if receipt.position and dict(receipt.position) != self.position:
            self.position, self.moved = dict(receipt.position), True
        if not self.request.is_new(delivery.origin, receipt.sha256) or (
            receipt.position and not rows and not writer.rejects
        ):
            writer.discard()
            self.request.warn_of_copies(self.request.copied(delivery.origin, receipt.sha256))
        else:
            self.contents.setdefault(receipt.sha256, delivery.origin)
            self.origins[delivery.origin] = receipt.sha256
            self.pending += writer.place(delivery.origin, receipt.sha256, self.next_seq, receipt.bytes)
            self._tell_rejects(writer.rejects)
        if len(self.pending) >= COMMIT_FILES or sum(file.rows for file in self.pending) >= FILE_ROWS:
            self.commit()
        return True

    def _tell_rejects(self, count: int) -> None:
        if count:
            newest = [file for file in self.pending if file.rejects][-1:]
            first = read_rejects(self.lake, newest, 1)[0]
            log.warning(
                "%s: %d records cannot be rows, kept in %s; the first, %s, %s",
                self.table, count, newest[0].rejects and newest[0].rejects.path, first.place, first.reason,
            )  # fmt: skip

    @property
    def next_seq(self) -> int:
        return self.manifests[-1].seq + 1 if self.manifests else 1

    def commit(self) -> None:
        """Make the pending files and the position part of the lake, if there is anything new."""
        if not self.pending and not self.moved:
            return
        seq, as_of = self.next_seq, self.as_of
        if self.manifests:  # a correction that comes now was not known earlier, even where the run stands earlier
            as_of = max(as_of, self.manifests[-1].as_of)
        faults.point("ingest.before_commit")
        manifest = commit(raw_folder(self.lake, self.table), seq, as_of, self.pending, self.position)
        faults.point("ingest.committed")
        self.manifests.append(manifest)
        self.pending, self.moved = [], False
        log.info("%s: manifest %d, %d files", self.table, seq, len(manifest.files))

    def result(self) -> IngestResult:
        """What the manifests of this run hold."""
        added = [file for manifest in self.manifests[self.before :] for file in manifest.files]
        known = [file for manifest in self.manifests for file in manifest.files]
        return IngestResult(
            table=self.table,
            files=len(added),
            rows=sum(file.rows for file in added),
            rejects=sum(file.rejects.rows for file in added if file.rejects),
            bytes=sum(file.bytes for file in added),
            read_bytes=self.read_bytes,
            seq=self.manifests[-1].seq if self.manifests else None,
            rows_known=sum(file.rows for file in known),
            last_origin=known[-1].origin if known else None,
            position=_shown(self.position),
            lag=self.lag,
            refused=tuple(self.refused),
        )


def _shown(position: Any) -> Any:
    if isinstance(position, dict):
        return {name: _shown(value) for name, value in position.items()}
    return f"{len(position)} entries" if isinstance(position, list) and len(position) > SHOWN else position
