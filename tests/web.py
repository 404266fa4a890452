"""A real web server under a test's control: it answers by the test's own functions and remembers what it was asked."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case


@dataclass
class Reply:
    """What to answer; `parts` in place of `body` are sent one after the other, without a length."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    parts: Iterator[bytes] | None = None
    cut: int | None = None  # hang up after this many bytes of the body


def as_json(tree: Any, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(tree).encode(), status, {"Content-Type": "application/json"} | named)


def as_html(text: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(text.encode(), 200, {"Content-Type": "text/html; charset=utf-8"} | named)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that was killed is no error
            super().handle_error(request, client_address)


class Site:
    """Answers by `routes`, path to function; everything else is 404. Conditional requests are answered by ETag."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[Asked], Reply]] = {}
        self.asked: list[Asked] = []
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        route = self.routes.get(asked.path)
        reply = route(asked) if route else Reply(b"nothing here", 404)
        etag, modified = reply.headers.get("ETag"), reply.headers.get("Last-Modified")
        if reply.status == 200 and (
            (etag and asked.headers.get("if-none-match") == etag)
            or (modified and asked.headers.get("if-modified-since") == modified)
        ):
            return Reply(b"", 304, reply.headers)
        return reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body in one packet

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = site.answer(Asked(parts.path, dict(parse_qsl(parts.query)), headers))
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.parts is None:
                    self.send_header("Content-Length", str(len(reply.body)))
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                try:
                    self.wfile.write(reply.body[: reply.cut])
                    self.wfile.flush()
                    for part in reply.parts or ():
                        self.wfile.write(part)
                        self.wfile.flush()
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client has read enough
                self.close_connection = reply.cut is not None or reply.parts is not None

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@contextmanager
def web_site() -> Iterator[Site]:
    site = Site()
    try:
        yield site
    finally:
        site.close()
