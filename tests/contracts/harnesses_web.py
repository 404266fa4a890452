"""Harnesses of the sources that are read by HTTP: real servers on loopback ports."""

from __future__ import annotations

import html
import json
import os
from abc import ABC, abstractmethod
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.buckets import Bucket, gcs_server
from tests.servers import free_port
from tests.web import Asked, Reply, as_html, as_json, web_site

NAMES = ["a", "a-copy", "b", "c", "long"]


def make_rows(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"id": n, "due": datetime(2013, 1, 1 + n % 28, n % 24), "team": ("red", "green")[n % 2], "size": n / 2}
        for n in range(first, first + count)
    ]


def as_texts(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "due": row["due"].isoformat() + "Z"}


class WebHarness(ABC):
    """A site that has a listing under every name; those that nothing was put into are empty."""

    def __init__(self, root: Path) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self._open = ExitStack()
        self.site = self._open.enter_context(web_site())
        for name in NAMES:
            self.site.routes[f"/jobs/{name}"] = self.answer
        os.environ["AIRFLOW_CONN_API"] = json.dumps(
            {"conn_type": "http", "host": "127.0.0.1", "port": self.site.port, "password": "s3cret-token"}
        )

    def close(self) -> None:
        del os.environ["AIRFLOW_CONN_API"]
        self._open.close()

    def put(self, name: str, rows: list[dict[str, Any]]) -> None:
        self.rows[name] = [as_texts(row) for row in rows]

    def offer_again(self, name: str) -> None:
        self.rows[f"{name}-copy"] = self.rows[name]

    @abstractmethod
    def answer(self, asked: Asked) -> Reply:
        """What the site says."""


class JsonHarness(WebHarness):
    """A JSON service with numbered pages, that knows its clients by a token."""

    options = {
        "kind": "http_json", "url": "/jobs/{name}", "connection": "api", "each": {"name": NAMES},
        "records": "$.data", "pages": {"by": "page", "size": 25_000, "total": "$.total"},
    }  # fmt: skip

    def put_broken(self, name: str) -> None:
        self.put(name, make_rows(50_000, 60_000))
        self.rows[name][-1]["size"] = "large"

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != "Bearer s3cret-token":
            return as_json({"error": "who are you?"}, 401)
        rows, page, limit = self.rows.get(asked.path[6:], []), int(asked.query["page"]), int(asked.query["limit"])
        part = rows[(page - 1) * limit : page * limit]
        return as_json({"data": part, "total": len(rows)}, ETag=f'"{id(rows)}-{page}-{limit}"')


class HtmlHarness(WebHarness):
    """Pages with one table each."""

    options = {
        "kind": "html_table", "url": "/jobs/{name}", "connection": "api", "each": {"name": NAMES},
        "table": "table#jobs", "min_rows": 0,
    }  # fmt: skip
    long = 20_000  # a page for people is not longer

    def put_broken(self, name: str) -> None:
        self.put(name, make_rows(50_000, 2_000))
        self.rows[name][-1]["size"] = "large"

    def answer(self, asked: Asked) -> Reply:
        rows = [
            "<tr>" + "".join(f"<td>{html.escape(str(row[name]))}</td>" for name in ("id", "due", "team", "size"))
            for row in self.rows.get(asked.path[6:], [])
        ]
        head = "<tr><th>Id<th>Due<th>Team<th>Size</tr>"
        return as_html(f"<!doctype html><h1>Jobs</h1><table id=jobs>{head}{''.join(rows)}</table>")


class GcsHarness:
    """Objects of a bucket."""

    options = {"kind": "gcs", "bucket": "jobs", "path": "drops/*.csv", "connection": "store"}

    def __init__(self, root: Path) -> None:
        self._open = ExitStack()
        url = self._open.enter_context(gcs_server(root / ".evergreen" / "gcs", free_port()))
        self.bucket = Bucket(url, "jobs")
        self.contents: dict[str, bytes] = {}
        extra = {"endpoint": url, "is_anonymous": True}
        os.environ["AIRFLOW_CONN_STORE"] = json.dumps({"conn_type": "google_cloud_platform", "extra": extra})

    def close(self) -> None:
        del os.environ["AIRFLOW_CONN_STORE"]
        self._open.close()

    def put(self, name: str, rows: list[dict[str, Any]], tail: str = "") -> None:
        lines = [f"{row['id']},{row['due'].isoformat()}Z,{row['team']},{row['size']}\n" for row in rows]
        self.contents[name] = ("id,due,team,size\n" + "".join(lines) + tail).encode()
        self.bucket.put(f"drops/{name}.csv", self.contents[name])

    def offer_again(self, name: str) -> None:
        self.bucket.put(f"drops/{name}-copy.csv", self.contents[name])

    def put_broken(self, name: str) -> None:
        self.put(name, make_rows(50_000, 200_000), tail="9,2013-01-0")
