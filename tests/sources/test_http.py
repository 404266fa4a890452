"""What every source on the web shares: tries, limits, redirects and kept secrets."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pyarrow as pa
import pytest

from evergreen.errors import EvergreenError, SourceError
from evergreen.sources import http_client
from evergreen.sources.http_auth import open_access
from evergreen.stages.ingest import ingest
from tests.servers import free_port
from tests.sources.reading import Reader
from tests.web import Asked, Reply, Site, as_json, web_site

SCHEMA = pa.schema([("id", pa.int64())])
ROWS = [{"id": 1}, {"id": 2}]
SECRET = "s3cret+to/ken=="


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "FIRST_WAIT", 0.01)


def reader(url: str, **options: Any) -> Reader:
    return Reader(SCHEMA, kind="http_json", url=url, **options)


def in_turn(site: Site, *replies: Reply) -> None:
    left = iter(replies)
    site.routes["/rows"] = lambda asked: next(left)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(site: Site, status: int) -> None:
    in_turn(site, Reply(b"busy", status), Reply(b"busy", status), as_json(ROWS))
    assert reader(f"{site.url}/rows").read() == ROWS
    assert len(site.asked) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_kept_to(site: Site, form: str) -> None:
    until = datetime.now(UTC) + timedelta(seconds=2)
    in_turn(
        site,
        Reply(b"", 429, {"Retry-After": "1" if form == "seconds" else format_datetime(until, usegmt=True)}),
        as_json(ROWS),
    )
    start = time.monotonic()
    assert reader(f"{site.url}/rows").read() == ROWS
    assert time.monotonic() - start >= 0.9


def test_a_longer_wait_than_allowed_is_an_error_at_once(site: Site) -> None:
    in_turn(site, Reply(b"", 429, {"Retry-After": "3600"}))
    with pytest.raises(
        SourceError, match=r"/rows: the server says 429 \(1 try\), and asks to wait 3600 s; ingest again"
    ):
        reader(f"{site.url}/rows").read()


@pytest.mark.parametrize(
    "text",
    [
        "0", "Tue, 01 Jan 2013 00:00:00 GMT", "Mon, 01 Jan 99999999999 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2300", "Mon, 01 Jan 2013 00:00:00 +99999999", "-1", "soon",
    ],
)  # fmt: skip
def test_a_server_that_asks_for_no_wait_is_not_hammered(site: Site, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(http_client, "FIRST_WAIT", 0.2)
    site.routes["/rows"] = lambda asked: Reply(b"", 429, {"Retry-After": text})
    with pytest.raises(SourceError, match=r"the server says 429 \(\d tries in `give_up_after`"):
        reader(f"{site.url}/rows", give_up_after="1 second").read()
    assert len(site.asked) < 6


def test_a_server_that_stays_busy_is_given_up(site: Site) -> None:
    site.routes["/rows"] = lambda asked: Reply(b"", 503)
    with pytest.raises(SourceError, match=r"the server says 503 \(\d+ tries in `give_up_after`, 1 s\)"):
        reader(f"{site.url}/rows", give_up_after="1 second").read()
    assert len(site.asked) > 3


def test_waits_double_and_differ() -> None:
    waits = [[http_client._wait(tries) for _ in range(50)] for tries in (1, 2, 3)]
    assert all(0.005 * 2**n <= wait <= 0.01 * 2**n for n, some in enumerate(waits) for wait in some)
    assert all(len(set(some)) > 25 for some in waits)


@pytest.mark.parametrize("cut", [0, 5])
def test_a_cut_connection_is_asked_again(site: Site, cut: int) -> None:
    whole = as_json(ROWS)
    in_turn(site, Reply(whole.body, 200, whole.headers, cut=cut), whole)
    assert reader(f"{site.url}/rows").read() == ROWS


def test_nobody_there_and_no_such_host_are_named() -> None:
    with pytest.raises(SourceError, match=r"http://127.0.0.1:\d+/rows: .*refused.*Is the host right"):
        reader(f"http://127.0.0.1:{free_port()}/rows", give_up_after="1 second").read()
    with pytest.raises(
        SourceError, match=r"http://no-such-host.invalid/rows: .*(known|resolution|associated).*Is the host"
    ):
        reader("http://no-such-host.invalid/rows", give_up_after="1 second").read()


def test_a_body_that_never_ends_is_read_up_to_the_limit(site: Site) -> None:
    site.routes["/rows"] = lambda asked: Reply(parts=itertools.repeat(b"[" + b" " * 65536))
    with pytest.raises(SourceError, match="/rows: the body is longer than 1000000 bytes, and was read no further"):
        reader(f"{site.url}/rows", max_bytes=1_000_000).read()


def test_a_body_that_drips_is_given_up(site: Site) -> None:
    def drip() -> Iterator[bytes]:
        start = time.monotonic()
        while time.monotonic() - start < 20:
            yield b" "
            time.sleep(0.01)

    site.routes["/rows"] = lambda asked: Reply(parts=drip())
    with pytest.raises(SourceError, match=r"/rows: the body did not end within 1 s \(\d+ bytes came\)"):
        reader(f"{site.url}/rows", give_up_after="1 second").read()


@pytest.mark.parametrize(
    ("scheme", "page", "start"),
    [
        ("http", 1, b"HTTP/1.1 200 OK\r\nX: "),
        ("http", 2, b"HTTP/1.1 200 OK\r\nX: "),
        ("https", 1, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"),  # a ServerHello of 16 KB
    ],
)
def test_an_answer_that_drips_before_its_body_is_given_up(scheme: str, page: int, start: bytes) -> None:
    def serve() -> None:
        client, _ = listening.accept()
        with client, suppress(OSError):
            for _ in range(1, page):
                client.recv(9999)
                body = b'{"rows": [{"id": 1}], "next": "/rows?page=2"}'
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            client.recv(9999)
            client.sendall(start)
            for _ in range(200):
                client.sendall(b"a")
                over.wait(0.1)

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        wanted = reader(
            f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/rows", records="rows", timeout="10 seconds",
            pages={"by": "link", "next": "next"}, give_up_after="1 second",
        )  # fmt: skip
        begin = time.monotonic()
        with pytest.raises(SourceError, match=r"/rows.*: no answer within 1 s \(`give_up_after`\)"):
            wanted.read()
        assert time.monotonic() - begin < 10
        over.set()
        thread.join()


def test_a_server_that_does_not_answer_times_out(site: Site) -> None:
    over = threading.Event()

    def wait(asked: Asked) -> Reply:
        over.wait(30)
        return as_json(ROWS)

    site.routes["/rows"] = wait
    with pytest.raises(SourceError, match="no answer within 1 s"):
        reader(f"{site.url}/rows", timeout="1 second", give_up_after="1 second").read()
    over.set()


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "check the `connection`"), (403, "refuses these"), (404, "check `url`"), (418, "teapot")]
)
def test_what_the_server_refuses_is_not_asked_again(site: Site, status: int, hint: str) -> None:
    in_turn(site, Reply(b"I am a teapot", status))
    with pytest.raises(SourceError, match=f"/rows: the server says {status}; .*{hint}"):
        reader(f"{site.url}/rows").read()


@pytest.mark.parametrize(
    ("fields", "header", "value"),
    [
        ({"password": SECRET}, "authorization", f"Bearer {SECRET}"),
        ({"login": "me", "password": "p4ss"}, "authorization", "Basic bWU6cDRzcw=="),
        ({"extra": {"X-Api-Key": SECRET, "timeout": 5}}, "x-api-key", SECRET),
        ({"extra": {"Authorization": "Token abcd", "params": {"key": SECRET}}}, "authorization", "Token abcd"),
    ],
)
def test_credentials_come_from_the_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], header: str, value: str
) -> None:
    connect(monkeypatch, site, **fields)
    in_turn(site, as_json(ROWS))
    assert reader("/rows", connection="api", params={"unit": "C"}).read() == ROWS
    (asked,) = site.asked
    assert asked.headers[header] == value
    assert asked.query == {"unit": "C", **fields.get("extra", {}).get("params", {})}
    assert asked.headers["user-agent"].startswith("evergreen/")


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "s3cret-token\n"},
        {"password": "s3cret-tök"},
        {"extra": {"X-Api-Key": " s3cret"}},
        {"extra": {"s3cret\nX": "1"}},
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_at_once_without_its_value(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fields: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    connect(monkeypatch, site, **fields)
    with pytest.raises(SourceError, match=r"the connection `api` cannot be used: .*header") as caught:
        reader("/rows", connection="api").read()
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__} {caplog.text}"
    assert site.asked == []


def test_what_python_shows_of_a_secret_is_hidden_too(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    connect(monkeypatch, site, extra={"params": {"key": "s3cret\nkey'ö"}})
    access = open_access("/rows", "api")
    for shown in (repr("s3cret\nkey'ö"), repr("s3cret\nkey'ö".encode()), ascii("s3cret\nkey'ö")):
        assert "s3cret" not in access.redact(f"bad value {shown}")


@pytest.mark.parametrize("options", [{"headers": {"X": "a\n"}}, {"headers": {"X y": "a"}}, {"user_agent": "ö"}])
def test_headers_of_the_parameters_are_checked(site: Site, options: dict[str, Any]) -> None:
    with pytest.raises(EvergreenError, match=r"character|white space"):
        reader(f"{site.url}/rows", **options).read()


def connect(monkeypatch: pytest.MonkeyPatch, site: Site, **fields: Any) -> None:
    tree = {"conn_type": "http", "host": "127.0.0.1", "port": site.port, **fields}
    monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(tree))


def everything(site: Site, bad: dict[str, Reply]) -> None:
    """Pages by link that repeat the query, as many services do, with one that fails in the way of its name."""

    def answer(asked: Asked) -> Reply:
        page = asked.query.get("page", "1")
        query = "&".join(f"{name}={one}" for name, one in {**asked.query, "page": str(int(page) + 1)}.items())
        return bad.get(page) or as_json({"rows": [{"id": int(page)}], "next": f"/rows?{query}" if page < "3" else None})

    site.routes["/rows"] = answer


@pytest.mark.parametrize(
    "bad",
    [
        Reply(SECRET.encode() + b" is not a valid key", 400, {"Content-Type": "text/plain"}),
        Reply(b"", 503),
        Reply(b"<html>", 200, {"Content-Type": "text/html"}),
        Reply(b'{"rows": null}'),
        Reply(b'{"rows": [{"id": "x"}]}'),
        Reply(b"", 302, {"Location": f"gopher://{SECRET}@elsewhere/?key={SECRET}"}),
        Reply(b"x" * 2000),
        Reply(parts=iter([b"{"]), cut=0, headers={"Content-Length": "5"}),
    ],
)
def test_no_secret_is_in_an_error_or_a_log(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, bad: Reply
) -> None:
    caplog.set_level(logging.DEBUG)
    connect(monkeypatch, site, password=SECRET, extra={"params": {"key": SECRET}})
    everything(site, {"2": bad})
    wanted = reader(
        "/rows", connection="api", records="rows", pages={"by": "link", "next": "next"},
        give_up_after="1 second", max_bytes=1000,
    )  # fmt: skip
    with pytest.raises(SourceError) as caught:
        wanted.read()
    told = f"{caught.value!r} {caught.value} {caught.value.__cause__} {caplog.text}"
    assert site.asked[0].query["key"] == SECRET
    for form in (SECRET, "s3cret", "ken=="):
        assert form not in told


def test_another_host_gets_no_credentials(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, site, password=SECRET, extra={"X-Key": SECRET, "params": {"key": SECRET}})
    with web_site() as other:
        other.routes["/moved"] = lambda asked: as_json({"rows": ROWS, "next": f"{other.url}/more"})
        other.routes["/more"] = lambda asked: as_json({"rows": [{"id": 3}]})
        site.routes["/rows"] = lambda asked: Reply(b"", 307, {"Location": f"{other.url}/moved", "Set-Cookie": "a=b"})
        wanted = reader("/rows", connection="api", records="rows", pages={"by": "link", "next": "next"})
        assert wanted.read() == [*ROWS, {"id": 3}]
        assert "authorization" in site.asked[0].headers
        for asked in other.asked:
            assert not {"authorization", "x-key", "cookie"} & set(asked.headers)
            assert asked.query == {}


def test_a_redirect_at_home_keeps_them_and_a_circle_ends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, site, password=SECRET)
    in_turn(site, Reply(b"", 301, {"Location": "/new"}))
    site.routes["/new"] = lambda asked: as_json(ROWS)
    assert reader("/rows", connection="api").read() == ROWS
    assert site.asked[1].headers["authorization"] == f"Bearer {SECRET}"
    site.routes["/rows"] = lambda asked: Reply(b"", 302, {"Location": "/rows"})
    with pytest.raises(SourceError, match="more than 5 redirects"):
        reader("/rows", connection="api").read()


@pytest.mark.parametrize("url", ["ftp://host/x", "/rows", "http://", "http://me:s3cret@host/x", "http://[x/"])
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SourceError, match=r"`url` (must be a whole address|holds a user)") as caught:
        open_access(url, None)
    assert "s3cret" not in str(caught.value)


def test_a_connection_is_for_its_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_API", "http://:s3cret@one.example.org/https")
    assert open_access("/v1/x", "api").url == "https://one.example.org/v1/x"
    with pytest.raises(SourceError, match="`url` is on another host than the connection `api`"):
        open_access("https://two.example.org/x", "api")
    assert "s3cret" not in repr(open_access("/v1/x", "api"))


def test_no_secret_is_in_what_is_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch, make_project: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    connect(monkeypatch, site, password=SECRET, extra={"params": {"key": SECRET}})
    site.routes["/rows"] = lambda asked: as_json([{"id": 1, "due": "2013-01-01"}], ETag='"1"')
    project = make_project("""
name: small
tables:
  jobs:
    source: {kind: http_json, url: /rows, connection: api}
    key: [id]
    known_at: due
    columns: {id: {type: int64}, due: {type: timestamp}}
prediction: {rows: jobs, at: due, label: {value: id > 10, known_at: due}}
features: {row: {id: id}}
training: {estimator: hist_gradient_boosting}
""")
    result = ingest(project, "jobs", datetime(2013, 4, 1, tzinfo=UTC))
    assert result.rows == 1
    assert result.last_origin == f"{site.url}/rows"
    kept = [path.read_bytes() for path in project.home.root.rglob("*") if path.is_file()]
    for form in (SECRET, "s3cret"):
        assert form not in result.model_dump_json() + caplog.text
        assert not any(form.encode() in content for content in kept)
