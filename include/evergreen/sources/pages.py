"""A listing that comes in pages: where the next one is, and whether it stood still while it was read.

Rows that are inserted or deleted while it is paged by number move others over the edge of a page, so that one comes
twice or never. With offsets each page is asked for from the last record of the one before, which must be there again.
With page numbers and links, the page before is asked for once more after each, with its ETag, and must be unchanged.
Only at its end may a listing grow: a last page that has become longer ends the read, and what was added to it since
comes with the next one. So a listing that grows with every request has an end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urljoin

from pydantic import Field, model_validator

from evergreen.errors import SourceError
from evergreen.params.base import Section
from evergreen.sources import json_path
from evergreen.sources.http_client import Answer, Client, with_params

_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w*]+\s*=\s*(?:"[^"]*"|[^\s,;"]+))*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s,;"]+))', re.IGNORECASE)


class Pages(Section):
    """How a listing is cut into pages."""

    by: Literal["link", "cursor", "offset", "page"] = Field(
        description="`link`: the answer holds the next page's address, in its Link header or at `next`. `cursor`: at "
        "`next` is a text for `param`. `offset`: `param` counts records. `page`: `param` counts pages."
    )
    param: str | None = Field(None, description="The query parameter; by default `cursor`, `offset` or `page`.")
    next: str | None = Field(None, description="Path in the answer to the next address or cursor; null there ends it.")
    more: str | None = Field(None, description="Path in the answer to true or false: whether there are more pages.")
    total: str | None = Field(None, description="Path in the answer to the number of all records, which is checked.")
    size: int | None = Field(None, ge=2, description="Records to ask for in a page; the service may give fewer.")
    size_param: str = Field("limit", description="The query parameter for `size`.")
    first: int = Field(1, ge=0, description="Number of the first page, for `page`.")
    recheck: bool = Field(
        True, description="Ask for each page once more, where paging by `page` or `link`; false spares requests."
    )
    max_pages: int = Field(100_000, gt=0, description="More pages than these are refused.")

    @model_validator(mode="after")
    def _the_next_page_can_be_found(self) -> Pages:
        if self.by == "cursor" and self.next is None:
            raise ValueError("`by: cursor` needs `next`, the path to the cursor in the answer")
        for path in (self.next, self.more, self.total):
            json_path.parse(path or "")
        return self

    def start(self) -> dict[str, str]:
        """Parameters of the first page."""
        sized = {self.size_param: str(self.size)} if self.size else {}
        counted = {"offset": 0, "page": self.first}.get(self.by)
        return sized if counted is None else {**sized, self.name: str(counted)}

    @property
    def name(self) -> str:
        """The parameter that moves on."""
        return self.param or self.by


class Changed(Exception):
    """The listing changed while it was read; reading it again from its start may succeed."""


@dataclass(frozen=True)
class Page:
    """One page's records, those that the page before had left out."""

    number: int
    answer: Answer
    records: list[Any]


@dataclass
class Walk:
    """Reads a listing page by page; `tree_of` parses an answer, `records_of` finds the list in it."""

    client: Client
    pages: Pages
    tree_of: Callable[[Answer], Any]
    records_of: Callable[[Any, Answer], list[Any]]
    _full: int = 0  # records of a page that is not the last

    def read(self, first: Answer) -> Iterator[Page]:
        """All pages from the first on; raises Changed, or SourceError where it goes round or does not end."""
        before: tuple[str, Answer, list[Any]] | None = None
        url, answer, count, seen, number = first.url, first, 0, {first.url}, 1
        total: Any = json_path.MISSING
        while True:
            tree = self.tree_of(answer)
            records = self.records_of(tree, answer)
            total = self._total(tree, total, number)
            self._full = self._full or self.pages.size or len(records)
            if before is not None and self._has_grown(before, records, url):
                break
            fresh = records[1:] if before is not None and self._overlaps(before[2]) else records
            count += len(fresh)
            yield Page(number, answer, fresh)
            following = self._following(url, answer, tree, fresh, count, total, records)
            if following is None:
                break
            if following in seen and not records:
                break  # a cursor that stays where it is, as there is nothing more
            if following in seen:
                raise SourceError(f"{self.client.show(url)}: page {number} leads back to a page that was read already")
            if number == self.pages.max_pages:
                raise SourceError(f"{self.client.show(url)}: there are more than `max_pages` pages ({number})")
            before, url, number = (url, answer, records), following, number + 1
            seen.add(url)
            answer = self.client.get(url)
        if total is not json_path.MISSING and (count < total or (count > total and not self._watched)):
            raise Changed(f"`total` says {total} records and {count} came")

    def _total(self, tree: Any, before: Any, number: int) -> Any:
        if self.pages.total is None:
            return json_path.MISSING
        total = json_path.find(tree, json_path.parse(self.pages.total))
        if isinstance(total, bool) or not isinstance(total, int):
            raise SourceError(f"there is no number at `pages.total` ({self.pages.total}) of page {number}")
        if before is json_path.MISSING:
            return total
        if total < before or (total > before and not self._watched):
            raise Changed(f"`total` went from {before} to {total} at page {number}")
        return before  # what is added later comes with the next read

    @property
    def _watched(self) -> bool:
        """Whether rows that move are noticed without `total`."""
        return self.pages.by == "offset" or (self.pages.by != "cursor" and self.pages.recheck)

    def _overlaps(self, before: list[Any]) -> bool:
        return self.pages.by == "offset" and len(before) > 1

    def _has_grown(self, before: tuple[str, Answer, list[Any]], records: list[Any], url: str) -> bool:
        """Whether the page before is longer by now, so that `records` were added since; raises Changed for others."""
        old_url, old_answer, old = before
        counted = self.pages.by in ("offset", "page")
        if counted and records == old and len(records) > 1:
            raise SourceError(
                f"{self.client.show(url)}: this page is the one before again; is `{self.pages.name}` the right `param`?"
            )
        if self._overlaps(old):
            if not records or records[0] != old[-1]:
                raise Changed(f"the last record of {self.client.show(old_url)} has moved")
            records = records[1:]
        rechecked = self.pages.recheck and self.pages.by in ("page", "link")
        if not rechecked and not (counted and records and len(old) < self._full):
            return False
        again = self.client.get(old_url, validators=old_answer.validators)
        now = old if again.status == 304 else self.records_of(self.tree_of(again), again)
        if now[: len(old)] != old:
            raise Changed(f"{self.client.show(old_url)} is no longer what it was")
        if len(now) == len(old):
            self._full = min(self._full, len(old)) if records else self._full
        return len(now) > len(old)

    def _following(self, url: str, answer: Answer, tree: Any, fresh: list[Any], count: int, total: Any,
                   records: list[Any]) -> str | None:  # fmt: skip
        """The address of the next page; None at the end."""
        pages = self.pages
        if pages.more is not None and json_path.find(tree, json_path.parse(pages.more)) is not True:
            return None
        if pages.by == "link":
            found = _linked(answer) if pages.next is None else json_path.find(tree, json_path.parse(pages.next))
            return urljoin(answer.url, found) if isinstance(found, str) and found else None
        if pages.by == "cursor":
            found = json_path.find(tree, json_path.parse(pages.next or ""))
            cursor = None if found in (json_path.MISSING, None, "") else str(found)
            return None if cursor is None else with_params(url, [(pages.name, cursor)])
        if not fresh or (
            total is not json_path.MISSING and count >= total
        ):  # only an empty page is the end: the service may cap the size of a page
            return None
        step = count - (len(records) > 1) if pages.by == "offset" else pages.first + self._number(url)
        return with_params(url, [(pages.name, str(step))])

    def _number(self, url: str) -> int:
        """How many pages were read, by the address of the last one."""
        match = re.search(rf"[?&]{re.escape(self.pages.name)}=(\d+)", url)
        return int(match[1]) - self.pages.first + 1 if match else 1


def _linked(answer: Answer) -> str | None:
    """The address of rel="next" in the Link header (RFC 8288)."""
    for address, attributes in _LINK.findall(answer.headers.get("link", "")):
        rel = _REL.search(attributes)
        if rel and "next" in (rel[1] or rel[2] or "").lower().split():
            return str(address)
    return None
