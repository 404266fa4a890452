"""One resource of a JSON service at its position: its addresses, pages and records, and what is kept of a read."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from evergreen.errors import SourceError
from evergreen.sources import json_path
from evergreen.sources.http import Memory, Resource, is_moving
from evergreen.sources.http_client import Answer, Client, with_params
from evergreen.sources.json_rows import Rows, parse
from evergreen.sources.pages import Changed, Page, Walk
from evergreen.sources.since import Window

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.sources.http_json import HttpJson

log = logging.getLogger(__name__)


class Reader:
    """One resource at its position."""

    def __init__(self, options: HttpJson, resource: Resource, schema: pa.Schema, memory: Memory) -> None:
        self.options, self.resource, self.schema = options, resource, schema
        self._parsed: tuple[Answer, Any] | None = None  # the last answer: the first is looked at twice
        start = options.pages.start() if options.pages else {}
        names = {*start, options.pages.name} if options.pages else set()
        self.client: Client = options.client(resource.url, frozenset(names))
        self._place = memory.of(resource, self.client)
        self.state = self._place.state()
        url = self.client.access.url
        self.origin = self.client.show(with_params(url, [pair for pair in resource.params if not is_moving(pair)]))
        self._asked = self.window().asked if options.incremental else None
        params = [(name, self._filled(value)) for name, value in resource.params]
        self._url = with_params(url, [(name, text) for name, text in params if text is not None])
        self._url = with_params(self._url, start.items())

    def window(self) -> Window:
        """A new look at the records from the position on."""
        assert self.options.incremental is not None
        return Window(self.options.incremental, self.state, self.schema)

    def first(self, conditional: bool = False) -> Answer | None:
        """The first page; None where the server says that it is the one that was read last."""
        held = self.state if conditional and self.state.get("asked") == self._asked else {}
        answer = self.client.get(self._url, validators=held)
        if answer.status == 304:
            log.info("%s: has not changed", self.origin)
            return None
        return answer

    def pages(self, first: Answer) -> Iterator[Page]:
        """All pages; raises Changed where they do not fit together."""
        if self.options.pages is None:
            yield Page(1, first, self._records(self._tree(first), first))
            return
        yield from Walk(self.client, self.options.pages, self._tree, self._records).read(first)

    def is_empty(self, first: Answer) -> bool:
        """Whether there is no record on any page, which is no reason for a delivery."""
        try:
            empty = not any(page.records for page in self.pages(first))
        except Changed:
            return False
        return empty

    def rows(self) -> Rows:
        """A converter of records into the table's columns."""
        return Rows(self.schema, self.options.paths(self.schema), self.options.reading)

    def position(self, window: Window | None, validators: Mapping[str, str], pages: int) -> dict[str, Any]:
        """The whole position after this resource was read; an ETag speaks for a listing of one page alone.

        It speaks for the body: where the next page's address is in a header, one that appears would go unseen.
        """
        state = window.state() if window else {}
        if pages == 1 and validators and not self._next_is_outside:
            asked = Window(self.options.incremental, state, self.schema).asked if self.options.incremental else None
            if asked == self._asked:
                state |= {**validators, "asked": asked}
        return self._place.keep(state)

    @property
    def _next_is_outside(self) -> bool:
        pages = self.options.pages
        return pages is not None and pages.by == "link" and pages.next is None

    def _filled(self, value: str) -> str | None:
        if "{position}" not in value:
            return value
        return None if self._asked is None else value.replace("{position}", self._asked)

    def _tree(self, answer: Answer) -> Any:
        if self._parsed is None or self._parsed[0] is not answer:
            self._parsed = (answer, self._parse(answer))
        return self._parsed[1]

    def _parse(self, answer: Answer) -> Any:
        return parse(answer.content, self.client.show(answer.url), answer.headers.get("content-type", ""))

    def _records(self, tree: Any, answer: Answer) -> list[Any]:
        found = json_path.find(tree, json_path.parse(self.options.records))
        if isinstance(found, list):
            return found
        raise SourceError(
            f"{self.client.show(answer.url)}: `records` is {self.options.records}, and there is no list but "
            f"{json_path.outline(found)}; the answer is {json_path.outline(tree)}"
        )
