"""Two things that the flights need of the web: a weather service with a JSON API, and a page that lists the airlines.

    python examples/flights/web.py --port 8090 --published published.json

GET /v1/observations?station=JFK&since=2013-03-31T23:00:00Z&limit=500 answers with the hourly observations of a station
after a moment, oldest first, and the address of the next page. It knows what was published by the moment that the file
`published.json` names (world.py writes it): at 2 o'clock the observation of 1 o'clock. As services do, it sends an
ETag, answers 304 to who has it, and 429 with Retry-After to who asks more often than 20 times in two seconds.

GET /airlines.html is a page for people, with one table among other things, and /robots.txt asks not to read /internal.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import html
import json
import re
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from shipped import package_data

REQUESTS, SECONDS = 20, 2.0  # that one may ask in
LIMIT = 500
TIME = "%Y-%m-%dT%H:%M:%SZ"
ROBOTS = "User-agent: *\nDisallow: /internal\n"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Carriers</title></head><body>
<table class="layout"><tr><td><a href="/airlines.html">Carriers</a></td><td><a href="/">Home</a></td></tr></table>
<h1>Carriers that fly from New York</h1>
<table class="carriers"><caption>Carriers, 2013</caption>
<thead><tr><th>Code</th><th>Carrier</th></tr></thead>
<tbody>
{rows}
</tbody></table>
<p>Codes are those of IATA.</p>
</body></html>
"""


class Bad(Exception):
    """A request that cannot be answered."""


class Observations:
    """The observations of each station, in order of time, as far as they are published."""

    def __init__(self, published: Path) -> None:
        self._published = published

    def page(self, query: dict[str, str]) -> dict[str, Any]:
        """One page; raises Bad for a query that is not understood."""
        station = query.get("station", "")
        if station not in self._stations:
            raise Bad(f"station must be one of {', '.join(self._stations)}")
        try:
            since = query.get("since", "1970-01-01T00:00:00Z")
            datetime.strptime(since, TIME)
            limit = min(LIMIT, max(1, int(query.get("limit", LIMIT))))
        except ValueError:
            raise Bad("since must be a moment such as 2013-04-01T00:00:00Z, and limit a number") from None
        until = self._until()
        found = [one for one in self._stations[station] if since < one["time"] <= until]
        shown = found[:limit]
        following = None
        if len(found) > limit:
            following = "?" + urlencode({"station": station, "since": shown[-1]["time"], "limit": limit})
        return {"station": station, "count": len(shown), "observations": shown, "next": following}

    def _until(self) -> str:
        """The newest hour that is published: it is complete one hour after its start."""
        try:
            moment = datetime.fromisoformat(json.loads(self._published.read_text())["until"])
        except FileNotFoundError:
            return ""
        return (moment.astimezone(UTC) - timedelta(hours=1)).strftime(TIME)

    @cached_property
    def _stations(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        with (package_data() / "weather.csv").open() as stream:
            for row in csv.DictReader(stream):
                moment = datetime.fromisoformat(row["time_hour"]).strftime(TIME)
                values = {name: _number(row[name]) for name in MEASURED}
                found.setdefault(row["origin"], []).append({"station": row["origin"], "time": moment, **values})
        return {station: sorted(rows, key=lambda row: str(row["time"])) for station, rows in found.items()}


MEASURED = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")


def _number(text: str) -> float | None:
    return None if text in ("NA", "") else float(text)


def airlines_page() -> str:
    """The page for people."""
    with (package_data() / "airlines.csv").open() as stream:
        found = sorted(csv.DictReader(stream), key=lambda row: row["name"])
    rows = (f"<tr><td>{html.escape(row['carrier'])}</td><td>{html.escape(row['name'])}</td></tr>" for row in found)
    return PAGE.format(rows="\n".join(rows))


class Rate:
    """How often one was asked lately."""

    def __init__(self) -> None:
        self._asked: deque[float] = deque()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Seconds until another request is welcome; 0: it is now, and counts."""
        with self._lock:
            now = time.monotonic()
            while self._asked and self._asked[0] <= now - SECONDS:
                self._asked.popleft()
            if len(self._asked) >= REQUESTS:
                return self._asked[0] + SECONDS - now
            self._asked.append(now)
            return 0.0


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet
    observations: Observations
    rate: Rate

    def do_GET(self) -> None:
        """Answer one request."""
        parts = urlsplit(self.path)
        if parts.path == "/robots.txt":
            self._send(200, ROBOTS, "text/plain; charset=utf-8")
        elif parts.path == "/airlines.html":
            self._send(200, airlines_page(), "text/html; charset=utf-8")
        elif parts.path != "/v1/observations":
            self._send(404, "There is nothing here.\n", "text/plain; charset=utf-8")
        elif wait := self.rate.wait():
            self._json(429, {"error": "too many requests"}, {"Retry-After": str(int(wait) + 1)})
        else:
            try:
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                self._json(200, self.observations.page(query), {})
            except Bad as error:
                self._json(400, {"error": str(error)}, {})

    def _json(self, status: int, tree: Any, headers: dict[str, str]) -> None:
        self._send(status, json.dumps(tree), "application/json", headers)

    def _send(self, status: int, text: str, kind: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        known = re.findall(r'"[^"]*"', self.headers.get("If-None-Match", ""))
        if status == 200 and etag in known:
            status, body = 304, b""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status in (200, 304):
            self.send_header("ETag", etag)
        if status != 304:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A line for each request, for the service's log."""
        print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {format % args}", flush=True)


def make_server(port: int, published: Path, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """The server, not yet serving; port 0 is any free one."""
    made = type("Handler", (Handler,), {"observations": Observations(published), "rate": Rate()})
    server = ThreadingHTTPServer((host, port), made)
    server.daemon_threads = True
    return server


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; in a container, 0.0.0.0")
    parser.add_argument("--published", type=Path, required=True, help="the file that says how far time has come")
    given = parser.parse_args()
    make_server(given.port, given.published, given.host).serve_forever()


if __name__ == "__main__":
    main()
