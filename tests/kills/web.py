"""Listings and pages under kills.

Whole listings and pages are snapshots: each delivery is the source at one moment, with every record once, and the
last is what is there at the end; those between may be passed over. Asked only for what is new, a service gives of each
record the version at the end, and none twice.
"""

from __future__ import annotations

import hashlib
import json
import threading
from abc import abstractmethod
from collections.abc import Callable, Hashable
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from tests.kills.rows import COLUMNS, Counts, Delivered, Row, as_texts, count, make_row, seal_of
from tests.kills.worlds import World
from tests.web import Asked, Reply, Site, as_html, as_json


class WebWorld(World):
    """Records are added at the end of a listing, and changed where they are."""

    excuse = r"changed 3 times while it was read"
    pause = 0.06  # one of three reads of a listing must fit between two changes, mostly
    first: ClassVar[int]  # records at the beginning

    def __init__(self, root: Path, dice: Random, site: Site) -> None:
        self.site, self.path = site, f"/{root.name}"
        self.records: list[Row] = []
        self.known: set[Hashable] = set()
        self._lock = threading.Lock()  # an answer is of one moment
        super().__init__(root, dice)
        site.routes[self.path] = self._answer

    def begin(self) -> None:
        self._add(self.first)

    def step(self) -> None:
        with self._lock:
            for id in self.dice.sample(range(len(self.records)), 3):
                self._change(id)
            self._add(self.dice.randrange(5))
            self.note()

    def finish(self) -> None:
        """Nothing is begun."""

    def note(self) -> None:
        """Remember what is there now; called with every change."""

    def _add(self, rows: int) -> None:
        for id in range(len(self.records), len(self.records) + rows):
            self.records.append({})
            self._set(id, 0)

    def _change(self, id: int) -> None:
        self._set(id, self.records[id]["version"] + 1)

    def _set(self, id: int, version: int) -> None:
        self.records[id] = make_row(id, version)
        self.known.add((id, version))
        self.written += 1

    def _answer(self, asked: Asked) -> Reply:
        with self._lock:
            return self.answer(asked)

    @abstractmethod
    def answer(self, asked: Asked) -> Reply:
        """What the site says, of one moment."""

    @property
    def rows(self) -> int:
        return len(self.records)

    def count(self, found: list[Delivered], must: set[Hashable], was_there: Callable[[Any], bool]) -> Counts:
        """Compare snapshots: a row is known by the delivery's whole content and its own key."""
        return count(
            (((state, row["id"]), row) for one in found for state in [state_of(one.rows)] for row in one.rows),
            must,
            was_there,
            sum(one.spoiled for one in found),
            lambda row: row["seal"] == seal_of(row) and (row["id"], row["version"]) in self.known,
        )

    def part(self, asked: Asked, records: list[Row]) -> Reply:
        """A page of these records, with its ETag."""
        size = int(asked.query["limit"])
        first = int(asked.query["offset"]) if "offset" in asked.query else (int(asked.query["page"]) - 1) * size
        texts = [as_texts(row) for row in records[first : first + size]]
        return as_json({"data": texts}, ETag=_etag(texts))


class JsonWorld(WebWorld):
    """A whole listing in pages."""

    kind, name, first = "http_json", "http_json", 600

    @property
    def options(self) -> dict[str, Any]:
        pages = {"by": "offset", "size": 150}
        return {"kind": self.kind, "url": f"{self.site.url}{self.path}", "records": "$.data", "pages": pages}

    def answer(self, asked: Asked) -> Reply:
        return self.part(asked, self.records)

    def compare(self, found: list[Delivered]) -> Counts:
        last = state_of(self.records)
        must = {(last, row["id"]) for row in self.records}
        for one in found:  # records are never removed: up to the last one that came, all must have come
            state, ids = state_of(one.rows), {row["id"] for row in one.rows}
            must |= {(state, id) for id in set(range(max(ids, default=0))) - ids}
        return self.count(found, must, lambda at: True)


class SinceWorld(WebWorld):
    """Only what has a higher revision than the newest one read, or the same; several changes share a revision."""

    kind, name, first = "http_json", "http_json, new only", 600
    columns = {**COLUMNS, "revision": "int64"}

    def begin(self) -> None:
        self.revision = 0
        super().begin()

    @property
    def options(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "url": f"{self.site.url}{self.path}", "records": "$.data",
            "pages": {"by": "page", "size": 200}, "params": {"since": "{position}"},
            "incremental": {"column": "revision", "start": 0},
        }  # fmt: skip

    def step(self) -> None:
        self.revision += self.dice.randrange(2)
        super().step()

    def _set(self, id: int, version: int) -> None:
        super()._set(id, version)
        self.records[id]["revision"] = self.revision

    def answer(self, asked: Asked) -> Reply:
        since = int(asked.query["since"])
        new = [row for row in self.records if row["revision"] >= since]
        return self.part(asked, sorted(new, key=lambda row: (row["revision"], row["id"])))

    def compare(self, found: list[Delivered]) -> Counts:
        return count(
            (((row["id"], row["version"]), row) for one in found for row in one.rows),
            must={(row["id"], row["version"]) for row in self.records},
            was_there=self.known.__contains__,
            spoiled=sum(one.spoiled for one in found),
        )


class HtmlWorld(WebWorld):
    """Two pages with a table each: the records of even and of odd numbers."""

    kind, name, first = "html_table", "html_table", 80

    def begin(self) -> None:
        self.states: set[Hashable] = set()
        super().begin()
        self.note()
        for half in (0, 1):
            self.site.routes[f"{self.path}/{half}"] = self._answer

    def finish(self) -> None:
        """Nothing is begun."""

    def note(self) -> None:
        self.states |= {state_of(self.records[half::2]) for half in (0, 1)}

    @property
    def options(self) -> dict[str, Any]:
        url = f"{self.site.url}{self.path}/{{half}}"
        return {"kind": self.kind, "url": url, "each": {"half": [0, 1]}, "caption": "Jobs"}

    def answer(self, asked: Asked) -> Reply:
        rows = [as_texts(row) for row in self.records[int(asked.path[-1]) :: 2]]
        cells = "".join("<tr>" + "".join(f"<td>{value}</td>" for value in row.values()) + "</tr>" for row in rows)
        head = "".join(f"<th>{name}</th>" for name in rows[0])
        return as_html(f"<table><caption>Jobs</caption><tr>{head}</tr>{cells}</table>", ETag=_etag(rows))

    def compare(self, found: list[Delivered]) -> Counts:
        halves = [self.records[half::2] for half in (0, 1)]
        must = {(state, row["id"]) for half in halves for state in [state_of(half)] for row in half}
        return self.count(found, must, lambda at: at[0] in self.states)


def state_of(rows: list[Row]) -> str:
    """What names a listing's content, in whatever order and however often it has a row."""
    return hashlib.sha256(json.dumps(sorted({(row["id"], row["version"]) for row in rows})).encode()).hexdigest()


def _etag(tree: object) -> str:
    return f'"{hashlib.sha256(json.dumps(tree).encode()).hexdigest()}"'
