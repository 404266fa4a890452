"""The flights' weather service and page of airlines, asked as anybody may ask them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import web

UNTIL = "2013-02-01T05:00:00+00:00"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return tmp_path / "published.json"


@pytest.fixture
def client(published: Path) -> Iterator[httpx.Client]:
    server = web.make_server(0, published)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_address[1]}", trust_env=False) as client:
        yield client
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_tells_what_is_published_and_nothing_later(client: httpx.Client, published: Path) -> None:
    assert client.get("/v1/observations", params={"station": "JFK"}).json()["observations"] == []
    published.write_text(json.dumps({"until": UNTIL}))
    times, query = [], "?station=JFK&limit=200"
    while query:
        page = client.get(f"/v1/observations{query}").json()
        times += [one["time"] for one in page["observations"]]
        query = page["next"]
    assert times == sorted(set(times))
    assert (times[0], times[-1]) == ("2013-01-01T06:00:00Z", "2013-02-01T04:00:00Z"), "an hour is complete at its end"
    since = {"station": "JFK", "since": times[-3]}
    assert [one["time"] for one in client.get("/v1/observations", params=since).json()["observations"]] == times[-2:]


def test_who_has_it_is_told_that_it_has_not_changed(client: httpx.Client, published: Path) -> None:
    published.write_text(json.dumps({"until": UNTIL}))
    first = client.get("/v1/observations?station=EWR")
    again = client.get("/v1/observations?station=EWR", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/v1/observations?station=LGA", headers={"If-None-Match": first.headers["ETag"]})
    assert other.status_code == 200


def test_who_asks_too_often_is_told_when_to_come_back(client: httpx.Client) -> None:
    answers = [client.get("/v1/observations?station=EWR") for _ in range(web.REQUESTS + 1)]
    assert [one.status_code for one in answers] == [200] * web.REQUESTS + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= web.SECONDS + 1


@pytest.mark.parametrize("query", ["station=XXX", "", "station=JFK&since=yesterday", "station=JFK&limit=many"])
def test_what_it_does_not_understand_it_says(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/v1/observations?{query}")
    assert answer.status_code == 400
    assert "must be" in answer.json()["error"]


def test_the_page_and_its_robots(client: httpx.Client) -> None:
    page = client.get("/airlines.html")
    assert page.text.count("<tr><td>") == 17, "sixteen carriers, and the table that lays out the links"
    assert client.get("/robots.txt").text.splitlines() == ["User-agent: *", "Disallow: /internal"]
    assert client.get("/internal").status_code == 404
