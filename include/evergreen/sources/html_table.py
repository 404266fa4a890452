"""A table of a web page, or repeated elements of one, read as any reader of the page may read them."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from evergreen import faults
from evergreen.errors import SourceError
from evergreen.sources import html_grid, html_page
from evergreen.sources.base import Delivery, Receipt, Request
from evergreen.sources.http import Memory, Place, Refused, Resource, Web
from evergreen.sources.http_client import Answer, Client, Unreachable, with_params
from evergreen.sources.robots import Robots
from evergreen.sources.values import BadValue, Reading, infer, to_array

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 10_000


class HtmlTable(Web):
    """A table by selector or caption, or fields by selector; robots.txt is kept to. Another layout refuses the page."""

    ordered: ClassVar[bool] = False

    table: str | None = Field(None, description="CSS selector of the one table, such as `table#airlines`.")
    caption: str | None = Field(None, description="The table's caption, whole; with `table`, both must fit.")
    rows: str | None = Field(
        None, description="Instead of a table: CSS selector of the elements of which each is a row, such as `li.item`."
    )
    fields: dict[str, str] = Field(
        {},
        description="Column to the name over it in the table (default: the column's own, in any case), `Name@href` for "
        "the link in its cells. With `rows`: column to a selector inside the element, `a.title@href` for an attribute.",
    )
    header_rows: int = Field(1, ge=1, description="Rows of names; names over each other are joined by a space.")
    without: tuple[str, ...] = Field(
        (), description="CSS selectors of elements to leave out first, such as `sup.reference` or `tr.section`."
    )
    min_rows: int = Field(1, ge=0, description="Fewer rows refuse the page: a table that lost its rows is no data.")
    max_bytes: int = Field(
        8 << 20,
        gt=0,
        description="Longest page; a longer one is refused. The parser takes about 30 times as much memory.",
    )
    null_values: tuple[str, ...] = Field(("",), description="Texts that mean a missing value, in every column.")
    thousands: str | None = Field(
        None, min_length=1, max_length=1, description="The character between groups of three digits."
    )
    decimal: str = Field(".", min_length=1, max_length=1, description="The character before a number's fraction.")

    @model_validator(mode="after")
    def _one_way(self) -> HtmlTable:
        if (self.rows is None) == (self.table is None and self.caption is None):
            raise ValueError("name a table by `table` or `caption`, or else elements by `rows`")
        if self.rows is not None and not self.fields:
            raise ValueError("`rows` needs `fields`, which say where in an element each column is")
        return self

    def deliveries(self, request: Request) -> Iterator[Delivery]:
        """One for each page that does not say that it is unchanged."""
        memory = Memory(request.position, self, request.schema)
        for resource, client, robots in self._clients():
            place = memory.of(resource, client)
            origin = client.show(with_params(client.access.url, resource.params))
            try:
                with client:
                    answer = self._get(client, robots, resource, place.state())
                    if answer.status != 304 and (page := Page(self, origin, answer, request.schema, place)).rows:
                        yield page
            except Unreachable:
                raise
            except SourceError as error:
                text = str(error)
                yield Refused(
                    origin, error if text.startswith(("http:", "https:")) else SourceError(f"{origin}: {text}")
                )

    def sample(self, request: Request, rows: int) -> pa.Table | None:
        """The first rows of the pages: all columns of a table, or all `fields`; types are inferred."""
        import pyarrow as pa

        names: list[str] = []
        found: list[html_page.Row] = []
        for resource, client, robots in self._clients():
            with client:
                names, more = self._everything(self._get(client, robots, resource, {}), request.schema.names)
            found += more
            if len(found) >= rows:
                break
        columns = [
            infer([row[index] for row in found[:rows]], self._reading, texts=True) for index in range(len(names))
        ]
        return pa.table(columns, names=names) if found else None

    def read(self, answer: Answer, names: list[str]) -> list[html_page.Row]:
        """The texts of the columns `names` in every row; raises SourceError where the page is not as described."""
        page = self._open(answer)
        fields = {name: self.fields.get(name, name) for name in names}
        if self.rows is not None:
            html_page.check_end(page, answer.content, None, answer.has_length)
            if lacking := [name for name in names if name not in self.fields]:
                raise SourceError(f"`fields` does not say where in an element the column `{lacking[0]}` is")
            rows = html_page.pick_fields(page, self.rows, fields, answer.url)
        else:
            rows = html_grid.pick(self._table(page, answer), fields, answer.url)
        if len(rows) < self.min_rows:
            raise SourceError(
                f"has {len(rows)} rows, fewer than `min_rows` ({self.min_rows}): has its layout changed, or are its "
                f"rows loaded by a script?"
            )
        return rows

    def _everything(self, answer: Answer, declared: list[str]) -> tuple[list[str], list[html_page.Row]]:
        if self.rows is not None:
            names = list(self.fields)
            return names, html_page.pick_fields(self._open(answer), self.rows, self.fields, answer.url)
        table = self._table(self._open(answer), answer)
        known = {name.lower() for name in table.names}
        places = {name: self.fields.get(name, name) for name in declared if _over(self.fields.get(name, name)) in known}
        taken = set(map(_over, places.values()))
        others = [index for index, name in enumerate(table.names) if name.lower() not in taken]
        rows = html_grid.pick(table, places, answer.url)
        for row, cells in zip(rows, table.rows, strict=True):
            row += [cells[index].text for index in others]
        return [*places, *(table.names[index] for index in others)], rows

    def _clients(self) -> Iterator[tuple[Resource, Client, Robots]]:
        robots: Robots | None = None
        for resource in self.resources():
            client = self.client(resource.url)
            robots = Robots(client, robots.sites if robots else {})
            client.allow = robots.check
            yield resource, client, robots

    def _get(self, client: Client, robots: Robots, resource: Resource, state: dict[str, Any]) -> Answer:
        if robots.asked_before(client.access.url):
            time.sleep(robots.rules(client.access.url).delay)
        return client.get(client.access.url, resource.params, validators=state)

    def _table(self, page: Any, answer: Answer) -> html_grid.Table:
        table = html_page.find_table(page, self.table, self.caption)
        html_page.check_end(page, answer.content, table, answer.has_length)
        return html_grid.read_table(table, self.header_rows)

    def _open(self, answer: Answer) -> Any:
        charset = re.search(r"charset\s*=\s*\"?([\w.:-]+)", answer.headers.get("content-type", ""), re.IGNORECASE)
        return html_page.open_page(answer.content, charset[1] if charset else None, self.without)

    @property
    def _reading(self) -> Reading:
        return Reading(frozenset(self.null_values), None, self.thousands, self.decimal)


def _over(place: str) -> str:
    """The name over the column that one of `fields` means."""
    return html_page.tidy(place.removesuffix("@href")).lower()


@dataclass
class Page:
    """One page's rows as a delivery; what names it is the hash of the declared columns' texts."""

    options: HtmlTable
    origin: str
    answer: Answer
    schema: pa.Schema
    place: Place

    def __post_init__(self) -> None:
        self.rows = self.options.read(self.answer, self.schema.names)

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows as typed columns; SourceError names the page, the row, the column and the value."""
        import pyarrow as pa

        faults.point("http.page")
        for start in range(0, len(self.rows), BATCH_ROWS):
            columns = zip(*self.rows[start : start + BATCH_ROWS], strict=True)
            try:
                arrays = [
                    to_array(list(values), field, self.options._reading)
                    for values, field in zip(columns, self.schema, strict=True)
                ]
            except BadValue as bad:
                raise SourceError(
                    f"{self.origin}: row {start + bad.index + 1} under the header, column `{bad.column}`: {bad.reason}"
                ) from None
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def receipt(self) -> Receipt:
        """The hash of the rows, whatever else is on the page, and its ETag or time of change."""
        digest = hashlib.sha256(json.dumps(self.rows).encode())
        position = self.place.keep(self.answer.validators)
        return Receipt(digest.hexdigest(), len(self.answer.content), position)
