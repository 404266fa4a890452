"""A service that answers with JSON: a listing in pages, whole or only what is new since the last read.

One delivery is one read of one resource to its end. It is kept on disk until the last page has come and the listing is
known to have stood still, and read again where it had not. What names it is the hash of its declared values, so that
a time stamp around the records, or other pages, make nothing new. A record that cannot be typed refuses the delivery,
with its place: rows without types cannot be kept, and leaving one out would lose it.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from evergreen import faults
from evergreen.errors import SourceError
from evergreen.sources import json_path
from evergreen.sources.base import Delivery, Receipt, Request
from evergreen.sources.content import Content
from evergreen.sources.http import Memory, Refused, Web
from evergreen.sources.http_client import Answer, Unreachable
from evergreen.sources.http_reader import Reader
from evergreen.sources.json_rows import flat, quoted, sampled
from evergreen.sources.pages import Changed, Pages
from evergreen.sources.since import Incremental
from evergreen.sources.spool import Spool, spool
from evergreen.sources.values import Epoch, Reading

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

ATTEMPTS = 3  # at reading a listing that changes meanwhile


class HttpJson(Web):
    """Records from a JSON service; a page that has not changed (ETag, Last-Modified) is not sent again."""

    ordered: ClassVar[bool] = False

    records: str = Field("$", description="Path to the list of records in an answer, such as `$.data.items`.")
    fields: dict[str, str] = Field(
        {}, description="Column to its path in a record, such as `temp: main.temp`; by default the column's own name."
    )
    optional: tuple[str, ...] = Field(
        (), description="Columns that may be absent from all records of a delivery; any other absent one refuses it."
    )
    null_values: tuple[str, ...] = Field((), description="Texts that mean a missing value, besides null.")
    epoch: Epoch | None = Field(None, description="What a number in a timestamp column counts since 1970.")
    pages: Pages | None = Field(None, description="How the listing is cut into pages; without it there is one.")
    incremental: Incremental | None = Field(None, description="Ask only for what is new since the last read.")

    @field_validator("records")
    @classmethod
    def _path_is_one(cls, path: str) -> str:
        json_path.parse(path)
        return path

    @field_validator("fields")
    @classmethod
    def _paths_are(cls, fields: dict[str, str]) -> dict[str, str]:
        for path in fields.values():
            json_path.parse(path)
        return fields

    def deliveries(self, request: Request) -> Iterator[Delivery]:
        """One for each resource that does not say that it is unchanged; of one without records none."""
        memory = Memory(request.position, self, request.schema)
        for resource in self.resources():
            reader = Reader(self, resource, request.schema, memory)
            try:
                with reader.client:
                    first = reader.first(conditional=True)
                    if first is not None and not reader.is_empty(first):
                        yield JsonRead(reader, first)
            except Unreachable:
                raise
            except SourceError as error:
                yield Refused(reader.origin, error)

    def sample(self, request: Request, rows: int) -> pa.Table | None:
        """The first records of the resources, in their order; objects inside them as `outer.inner` columns."""
        found: list[dict[str, Any]] = []
        for resource in self.resources():
            reader = Reader(self, resource, request.schema, Memory({}, self, request.schema))
            with reader.client, suppress(Changed):  # a look needs no more than what came
                first = reader.first()
                assert first is not None
                for page in reader.pages(first):
                    found += [flat(record) for record in page.records]
                    if len(found) >= rows:
                        return sampled(found[:rows], self.paths(request.schema), self.reading)
        return sampled(found, self.paths(request.schema), self.reading) if found else None

    @property
    def reading(self) -> Reading:
        """How values are written."""
        return Reading(frozenset(self.null_values), self.epoch)

    def paths(self, schema: pa.Schema) -> dict[str, str]:
        """Where in a record each declared column is."""
        return {name: self.fields.get(name, quoted(name)) for name in schema.names}


@dataclass
class JsonRead:
    """One resource, read to its end, as a delivery."""

    reader: Reader
    first: Answer | None

    @property
    def origin(self) -> str:
        return self.reader.origin

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows, after the last page has come and the pages are known to fit together."""
        for attempt in range(1, ATTEMPTS + 1):
            first, self.first = self.first or self.reader.first(), None
            assert first is not None
            with spool(self.reader.schema) as kept:
                try:
                    self._read(first, kept)
                except Changed as change:
                    log.info("%s: changed while it was read: %s (attempt %d)", self.origin, change, attempt)
                    reason = str(change)
                    continue
                faults.point("http.verified")
                yield from kept.read()
                return
        raise SourceError(
            f"{self.origin}: changed {ATTEMPTS} times while it was read, last: {reason}. Ask for a stable order, or "
            f"read it at a quieter time"
        )

    def receipt(self) -> Receipt:
        """The hash of the declared values of all records, and where to read on."""
        return Receipt(self._hash.hexdigest(), self._bytes, self._position())

    def _read(self, first: Answer, kept: Spool) -> None:
        reader = self.reader
        self._hash, self._bytes, self._pages = Content(reader.schema), 0, 0
        self._window = reader.window() if reader.options.incremental else None
        rows = reader.rows()
        for page in reader.pages(first):
            self._bytes += len(page.answer.content)
            self._pages += 1
            place = f"{reader.client.show(page.answer.url)}: "
            try:
                for batch, values in rows.convert(page.records, len(page.answer.content)):
                    self._keep(batch, values, kept)
            except SourceError as error:
                raise SourceError(f"{place}{error}") from None
            faults.point("http.page")
        if missing := rows.absent(reader.options.optional):
            raise SourceError(f"{self.origin}: {missing}")
        self._validators = first.validators

    def _keep(self, batch: pa.RecordBatch, values: list[list[Any]], kept: Spool) -> None:
        import pyarrow as pa

        window, column = self._window, self.reader.options.incremental
        if window is not None and column is not None:
            new = window.new(batch.column(column.column).to_pylist(), values)
            if len(new) < batch.num_rows:
                batch = batch.take(pa.array(new, pa.int64()))
        if batch.num_rows:
            self._hash.add(batch)
            kept.write(batch)

    def _position(self) -> dict[str, Any]:
        return self.reader.position(self._window, self._validators, self._pages)
