from __future__ import annotations

import json
import resource
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from evergreen.errors import SourceError
from evergreen.sources import since
from evergreen.stages.ingest import ingest
from tests.sources.reading import Reader, raw_ids
from tests.web import Asked, Reply, Site, as_json, web_site

SCHEMA = pa.schema([("id", pa.int64())])
AT = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us"))])


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


class Listing:
    """A table behind a service that pages in every way; `meddle` is called before each page is answered."""

    def __init__(self, site: Site, count: int) -> None:
        self.rows = [{"id": n} for n in range(count)]
        self.meddle: Callable[[int], None] = lambda page: None
        self.asked = 0
        self.cap = 100
        site.routes["/rows"] = self.answer

    def answer(self, asked: Asked) -> Reply:
        self.asked += 1
        self.meddle(self.asked)
        query = asked.query
        size = min(int(query.get("limit", 10)), self.cap)
        start = (int(query["page"]) - 1) * size if "page" in query else int(query.get("offset", query.get("after", 0)))
        part, end = self.rows[start : start + size], start + size
        more = end < len(self.rows)
        tree = {"data": {"items": part}, "total": len(self.rows), "more": more, "after": str(end) if more else None}
        link = f'</rows?after={end}>; rel="next"; title="a, b", </rows>; rel=first' if more else "</rows>; rel=first"
        return as_json(tree, Link=link, ETag=f'"{hash(json.dumps(tree))}"')


WAYS: dict[str, dict[str, Any]] = {
    "link": {"by": "link"},
    "link in the body": {"by": "link", "next": "$.url"},
    "cursor": {"by": "cursor", "next": "after", "param": "after"},
    "cursor and more": {"by": "cursor", "next": "after", "param": "after", "more": "more"},
    "offset": {"by": "offset", "size": 10},
    "offset and total": {"by": "offset", "size": 10, "total": "total"},
    "page": {"by": "page", "size": 10},
    "page without recheck": {"by": "page", "recheck": False, "total": "total"},
    "page and more": {"by": "page", "size": 10, "more": "more"},
}


def listing_reader(site: Site, pages: dict[str, Any], **options: Any) -> Reader:
    url = f"{site.url}/rows"
    return Reader(SCHEMA, kind="http_json", url=url, records="$.data.items[*]", pages=pages, **options)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("count", [1, 9, 10, 11, 20, 35])
def test_every_way_of_paging_reads_every_record_once(site: Site, way: dict[str, Any], count: int) -> None:
    listing = Listing(site, count)
    if way.get("next") == "$.url":
        plain = listing.answer

        def answer(asked: Asked) -> Reply:
            tree = json.loads(plain(asked).body)
            return as_json({**tree, "url": tree["after"] and f"rows?after={tree['after']}"})

        site.routes["/rows"] = answer
    assert ids(listing_reader(site, way).read()) == list(range(count))


@pytest.mark.parametrize("way", [WAYS["offset"], WAYS["page"], WAYS["offset and total"]])
@pytest.mark.parametrize("cap", [1, 4])
def test_a_service_that_caps_its_pages_is_read_to_the_end(site: Site, way: dict[str, Any], cap: int) -> None:
    Listing(site, 23).cap = cap
    assert ids(listing_reader(site, way | {"size": 50}).read()) == list(range(23))


@pytest.mark.parametrize("way", ["offset", "page", "link", "offset and total", "page without recheck"])
@pytest.mark.parametrize("change", ["insert", "delete"])
def test_a_listing_that_changes_while_it_is_paged_is_read_again(site: Site, way: str, change: str) -> None:
    listing = Listing(site, 35)

    def meddle(asked: int) -> None:
        if asked == 2:  # after the first page
            listing.rows = [{"id": 99}, *listing.rows] if change == "insert" else listing.rows[3:]

    listing.meddle = meddle
    assert ids(listing_reader(site, WAYS[way]).read()) == ids(listing.rows)


def test_one_that_never_stands_still_is_refused(site: Site) -> None:
    listing = Listing(site, 35)

    def meddle(asked: int) -> None:
        listing.rows = [{"id": -asked}, *listing.rows]

    listing.meddle = meddle
    with pytest.raises(SourceError, match=r"/rows: changed 3 times while it was read, last: .*Ask for a stable order"):
        listing_reader(site, WAYS["offset"]).read()


def test_rechecking_is_by_etag(site: Site) -> None:
    Listing(site, 25)
    listing_reader(site, WAYS["page"]).read()
    assert [("if-none-match" in asked.headers, asked.query["page"]) for asked in site.asked] == [
        (False, "1"), (False, "2"), (True, "1"), (False, "3"), (True, "2"), (False, "4"), (True, "3"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        ({"by": "page", "param": "seite"}, "is the one before again; is `seite` the right `param`"),
        ({"by": "offset", "param": "von"}, "is the one before again; is `von` the right `param`"),
        ({"by": "cursor", "next": "$.data.items[0].id", "param": "x"}, "page 2 leads back to a page that was read"),
        ({"by": "page", "size": 10, "max_pages": 2}, r"more than `max_pages` pages \(2\)"),
        ({"by": "page", "total": "count"}, r"no number at `pages.total` \(count\) of page 1"),
    ],
)
def test_paging_that_goes_nowhere_is_an_error(site: Site, pages: dict[str, Any], reason: str) -> None:
    Listing(site, 35)
    with pytest.raises(SourceError, match=reason):
        listing_reader(site, pages).read()


def test_a_total_that_does_not_come_is_an_error(site: Site) -> None:
    listing = Listing(site, 35)
    plain = listing.answer
    site.routes["/rows"] = lambda asked: as_json({**json.loads(plain(asked).body), "total": 40})
    with pytest.raises(SourceError, match="`total` says 40 records and 35 came"):
        listing_reader(site, WAYS["page and more"] | {"total": "total"}).read()


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
def test_what_has_not_changed_is_not_sent_again(site: Site, validator: str) -> None:
    rows, version = [{"id": 1}], ["Wed, 02 Jan 2013 00:00:00 GMT"]
    site.routes["/rows"] = lambda asked: Reply(json.dumps(rows).encode(), 200, {validator: version[0]})
    reader = Reader(SCHEMA, kind="http_json", url=f"{site.url}/rows")
    assert reader.read() == rows
    assert reader.read() == []
    assert len(reader.receipts) == 1
    rows, version = [{"id": 1}, {"id": 2}], ["Thu, 03 Jan 2013 00:00:00 GMT"]
    assert reader.read() == rows
    names = {"ETag": "if-none-match", "Last-Modified": "if-modified-since"}
    assert [asked.headers.get(names[validator], "")[:3] for asked in site.asked] == ["", "Wed", "Wed"]


def test_the_first_page_alone_does_not_say_that_a_listing_has_not_changed(site: Site) -> None:
    listing = Listing(site, 25)
    reader = listing_reader(site, WAYS["page"])
    reader.read()
    listing.rows.append({"id": 25})
    assert len(reader.read()) == 26


def test_another_way_of_reading_is_not_answered_by_an_old_etag(site: Site) -> None:
    site.routes["/rows"] = lambda asked: as_json([{"id": 1, "b": 2, "c": 3}], ETag='"1"')
    reader = Reader(SCHEMA, kind="http_json", url=f"{site.url}/rows")
    assert reader.read() == [{"id": 1}]
    reader.schema = pa.schema([("id", pa.int64()), ("b", pa.int64())])
    assert reader.read() == [{"id": 1, "b": 2}]
    reader.options["fields"] = {"b": "c"}
    assert reader.read() == [{"id": 1, "b": 3}]
    reader.options["timeout"] = "20 seconds"
    assert reader.read() == []
    assert site.asked[-1].headers["if-none-match"] == '"1"'


@pytest.mark.parametrize("where", ["header", "body"])
def test_a_full_page_without_a_next_one_may_get_one(site: Site, where: str) -> None:
    rows = [{"id": n} for n in range(10)]

    def answer(asked: Asked) -> Reply:
        start = int(asked.query.get("after", 0))
        tree: dict[str, Any] = {"rows": rows[start : start + 10]}
        more = f"/rows?after={start + 10}" if start + 10 < len(rows) else None
        if where == "body":
            tree["next"] = more
        link = {"Link": f'<{more}>; rel="next"'} if more and where == "header" else {}
        return as_json(tree, ETag=f'"{hash(json.dumps(tree))}"', **link)

    site.routes["/rows"] = answer
    pages = {"by": "link"} | ({"next": "next"} if where == "body" else {})
    reader = Reader(SCHEMA, kind="http_json", url=f"{site.url}/rows", records="rows", pages=pages)
    assert (len(reader.read()), reader.read()) == (10, [])
    assert ("if-none-match" in site.asked[-1].headers) == (where == "body")
    rows += [{"id": n} for n in range(10, 15)]
    assert len(reader.read()) == 15


def test_what_is_around_the_records_makes_nothing_new(site: Site) -> None:
    made = iter(range(10))
    site.routes["/rows"] = lambda asked: as_json({"made": next(made), "rows": [{"id": 1, "other": next(made)}]})
    reader = Reader(SCHEMA, kind="http_json", url=f"{site.url}/rows", records="rows")
    assert (len(reader.read()), len(reader.read())) == (1, 0)


class Feed:
    """A service that gives what came since a moment, in its own order, the moment's own records included or not."""

    def __init__(self, site: Site, inclusive: bool = True) -> None:
        self.rows: list[dict[str, Any]] = []
        self.inclusive = inclusive
        site.routes["/feed"] = self.answer
        self.reader = Reader(
            AT, kind="http_json", url=f"{site.url}/feed", params={"since": "{position}"},
            pages={"by": "offset", "size": 5}, incremental={"column": "at", "start": "2013-01-01T00:00:00Z"},
        )  # fmt: skip

    def add(self, id: int, minute: float) -> None:
        moment = datetime(2013, 1, 1) + timedelta(minutes=minute)
        self.rows.append({"id": id, "at": moment.isoformat() + "Z"})

    def answer(self, asked: Asked) -> Reply:
        since = datetime.fromisoformat(asked.query.get("since", "2000-01-01T00:00:00Z"))
        moments = [(datetime.fromisoformat(row["at"]), row) for row in self.rows]
        found = [row for moment, row in moments if moment > since or (self.inclusive and moment == since)]
        start = int(asked.query["offset"])
        part = sorted(found, key=lambda row: row["at"])[start : start + int(asked.query["limit"])]
        return as_json(part, ETag=f'"{hash(json.dumps(part))}"')


@pytest.mark.parametrize("inclusive", [True, False])
def test_only_what_is_new_is_asked_for_and_taken_once(site: Site, inclusive: bool) -> None:
    feed = Feed(site, inclusive)
    if not inclusive:  # such a service cannot be asked for the newest moment itself in any other way
        feed.reader.options["incremental"] |= {"overlap": "1 minute"}
    taken: list[int] = []
    for start in (1, 8, 8, 20, 41):
        for n in range(len(feed.rows), start):
            feed.add(n, 1 + n // 2)
        taken += ids(feed.reader.read())
    assert sorted(taken) == list(range(41))
    assert site.asked[0].query["since"] == "2013-01-01T00:00:00Z"
    assert site.asked[-1].query["since"] == f"2013-01-01T00:{10 if inclusive else '09'}:00Z"


def test_records_that_share_the_newest_moment_are_told_apart(site: Site) -> None:
    feed = Feed(site)
    feed.add(1, 5)
    assert ids(feed.reader.read()) == [1]
    feed.add(2, 5)
    assert ids(feed.reader.read()) == [2]
    assert ids(feed.reader.read()) == []
    assert feed.reader.position["http" + f"{site.url}/feed&since={{position}}"[4:]]["value"] == "2013-01-01T00:05:00Z"


def test_late_and_changed_records_come_with_an_overlap(site: Site) -> None:
    feed = Feed(site)
    feed.reader.options["incremental"] = {"column": "at", "overlap": "10 minutes"}
    feed.add(1, 60)
    feed.add(2, 55)
    assert sorted(ids(feed.reader.read())) == [1, 2]
    feed.add(3, 52)  # late
    feed.add(4, 40)  # too late
    feed.rows[1] = {"id": 22, "at": feed.rows[1]["at"]}
    assert sorted(ids(feed.reader.read())) == [3, 22]
    feed.add(5, 65)
    assert ids(feed.reader.read()) == [5]
    assert ids(feed.reader.read()) == []
    assert [asked.query.get("since") for asked in site.asked if asked.query["offset"] == "0"] == [
        None, "2013-01-01T00:50:00Z", "2013-01-01T00:50:00Z", "2013-01-01T00:55:00Z",
    ]  # fmt: skip


@pytest.mark.parametrize("overlap", ["0 minutes", "1 day"])
@pytest.mark.parametrize("more", [0, 1])
def test_a_change_that_is_taken_back_is_a_change(site: Site, overlap: str, more: int) -> None:
    feed = Feed(site)
    feed.reader.options["incremental"] = {"column": "at", "overlap": overlap}
    feed.add(1, 5)
    for n in range(more):
        feed.add(10 + n, 5)
    taken = []
    for id in (1, 2, 1, 1, 2):
        feed.rows[0]["id"] = id
        taken.append([one for one in ids(feed.reader.read()) if one < 10])
    assert taken == [[1], [2], [1], [], [2]]


@pytest.mark.parametrize(
    ("format", "asked"), [("seconds", "1356998700"), ("milliseconds", "1356998700500"), ("%Y-%m-%d", "2013-01-01")]
)
def test_moments_are_written_as_the_service_reads_them(site: Site, format: str, asked: str) -> None:
    rows = [{"id": 1, "at": "2013-01-01T00:05:00.5Z"}]
    site.routes["/feed"] = lambda asked: as_json(rows)
    reader = Reader(
        AT, kind="http_json", url=f"{site.url}/feed", params={"since": "{position}"},
        incremental={"column": "at", "format": format},
    )  # fmt: skip
    reader.read()
    rows.append({"id": 2, "at": "2013-01-01T00:05:00.5Z"})
    assert ids(reader.read()) == [2]
    assert (site.asked[0].query, site.asked[1].query) == ({}, {"since": asked})


def test_numbers_count_too(site: Site) -> None:
    rows = [{"id": 3}, {"id": 4}]
    site.routes["/feed"] = lambda asked: as_json([row for row in rows if row["id"] >= int(asked.query["from"])])
    reader = Reader(
        SCHEMA, kind="http_json", url=f"{site.url}/feed", params={"from": "{position}"},
        incremental={"column": "id", "start": 0},
    )  # fmt: skip
    assert ids(reader.read()) == [3, 4]
    rows.append({"id": 7})
    assert ids(reader.read()) == [7]


def test_a_connection_that_leads_to_another_host_is_read_from_its_start(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(
        SCHEMA, kind="http_json", url="/rows", connection="api", params={"from": "{position}"},
        incremental={"column": "id", "start": 0},
    )  # fmt: skip
    with web_site() as staging:
        for one, count in ((staging, 5), (site, 3)):
            rows = [{"id": n} for n in range(count)]
            one.routes["/rows"] = lambda asked, rows=rows: as_json(rows[int(asked.query["from"]) :], ETag='"1"')
            monkeypatch.setenv("AIRFLOW_CONN_API", one.url)
            assert ids(reader.read()) == list(range(count))
            assert one.asked[0].query["from"] == "0"
            assert reader.read() == []
            assert one.asked[1].query["from"] == str(count - 1)
    assert len(reader.position) == 1


@pytest.mark.parametrize(
    ("rows", "column", "reason"),
    [
        ([{"id": 1, "at": None}], "at", "/feed: record 1 has no `at`"),
        ([{"id": 1, "at": "2013-01-01"}], "name", "`incremental.column` is `name`: it must be a declared column"),
    ],
)
def test_a_column_to_go_by_has_a_value(site: Site, rows: list[Any], column: str, reason: str) -> None:
    site.routes["/feed"] = lambda asked: as_json(rows)
    with pytest.raises(SourceError, match=reason):
        Reader(AT, kind="http_json", url=f"{site.url}/feed", incremental={"column": column}).read()


def test_a_service_that_does_not_know_the_parameter_is_found_out(site: Site) -> None:
    rows = [{"id": n, "at": f"2013-01-0{n}T00:00:00Z"} for n in range(1, 9)]
    site.routes["/feed"] = lambda asked: as_json(rows)
    reader = Reader(
        AT, kind="http_json", url=f"{site.url}/feed", params={"seit": "{position}"}, incremental={"column": "at"}
    )
    reader.read()
    with pytest.raises(SourceError, match="was asked for `at` since 2013-01-08T00:00:00Z and sent 2013-01-01 00:00:00"):
        reader.read()


def test_too_many_records_of_one_moment_are_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(since, "MOST_RECENT", 3)
    site.routes["/feed"] = lambda asked: as_json([{"id": n, "at": "2013-01-01"} for n in range(4)])
    with pytest.raises(SourceError, match="4 records lie within one step of `at`"):
        Reader(AT, kind="http_json", url=f"{site.url}/feed", incremental={"column": "at"}).read()


NAMED = pa.schema([("id", pa.int64()), ("temp", pa.float64()), ("first", pa.string())])


def test_fields_are_found_by_path(site: Site) -> None:
    record = {"id": 1, "main": {"temp": 3}, "weather": [{"kind of": "rain"}]}
    site.routes["/rows"] = lambda asked: as_json({"a.b": {"list": [record]}})
    reader = Reader(
        NAMED, kind="http_json", url=f"{site.url}/rows", records='$["a.b"].list',
        fields={"temp": "main.temp", "first": "weather[0]['kind of']"},
    )  # fmt: skip
    assert reader.read() == [{"id": 1, "temp": 3.0, "first": "rain"}]
    sample = reader.sample(5)
    assert sample.to_pylist() == [{"id": 1, "temp": 3, "weather": '[{"kind of": "rain"}]'}]


def test_records_may_be_lists(site: Site) -> None:
    site.routes["/rows"] = lambda asked: as_json([[1, 2.5, "a"], [2, None]])
    fields = {"id": "[0]", "temp": "[1]", "first": "[2]"}
    reader = Reader(NAMED, kind="http_json", url=f"{site.url}/rows", fields=fields)
    assert [list(row.values()) for row in reader.read()] == [[1, 2.5, "a"], [2, None, None]]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'[{"id": 1, "temp": 2', "/rows: sent a body without a content type that is not JSON"),
        (b'[{"id": 1, "temp": NaN}]', "NaN is not a number of JSON"),
        (b"[" * 100_000, "/rows: sent"),
        (b'{"rows": []}', r"`records` is \$, and there is no list but an object with rows"),
        (b"[1]", "record 1 is 1, not an object"),
        (b'[{"id": 1}, {"id": 2}]', "none of 2 records has the declared columns `temp`, `first`. .*A record has: id"),
        (
            b'[{"id": 1, "temp": 1, "first": "a"}, {"id": 1.5}]',
            "/rows: record 2, column `id`: `1.5` is not of .* int64",
        ),
        (b'[{"id": true}]', "column `id`: `True` is not of the declared type int64"),
        (b'[{"id": 9223372036854775808}]', "`9223372036854775808` is not"),
        (b'[{"id": 1, "temp": 9007199254740993}]', "`9007199254740993` is not of the declared type float64"),
        (
            b'[{"id": 1, "temp": {"min": 1}}]',
            "is not of the declared type float64; name the value inside it in `fields`",
        ),
        (b'[{"id": 1, "temp": "n/a"}]', "`n/a` is not of .*; a text for missing values goes into `null_values`"),
        (b'[{"id": 1, "first": 1.5}]', "column `first`: `1.5` is not of the declared type string"),
        (b'[{"id": 1, "first": "\\ud800"}]', "is not valid Unicode"),
    ],
)
def test_a_bad_answer_is_refused_with_its_place_and_reason(site: Site, body: bytes, reason: str) -> None:
    site.routes["/rows"] = lambda asked: Reply(body)
    with pytest.raises(SourceError, match=reason):
        Reader(NAMED, kind="http_json", url=f"{site.url}/rows").read()


def test_columns_that_are_left_out_where_they_have_no_value_may_be_named(site: Site) -> None:
    site.routes["/rows"] = lambda asked: as_json([{"id": "7", "temp": "NA"}])
    reader = Reader(NAMED, kind="http_json", url=f"{site.url}/rows", optional=["first"], null_values=["NA"])
    assert reader.read() == [{"id": 7, "temp": None, "first": None}]


def test_a_full_disk_is_an_error_that_says_what_to_do(site: Site) -> None:
    Listing(site, 200_000).cap = 100_000
    reader = listing_reader(site, WAYS["offset"] | {"size": 100_000})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(SourceError, match=r"cannot be kept in .* while it is read: .*too large. Make room, or set"):
            reader.read()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(reader.read()) == 200_000


def test_one_of_several_that_is_refused_leaves_the_others(
    site: Site, make_project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "c"):
        site.routes[f"/{name}"] = lambda asked: as_json([{"id": ord(asked.path[1]), "due": "2013-01-01"}])
    project = service_project(make_project, f"{{kind: http_json, url: '{site.url}/{{x}}', each: {{x: [a, b, c]}}}}")
    with pytest.raises(SourceError, match=r"jobs: 1 refused.*\n.*/b: the server says 404"):
        ingest(project, "jobs", NOW)
    assert sorted(raw_ids(project)) == [ord("a"), ord("c")]


NOW = datetime(2013, 4, 1, tzinfo=UTC)


def service_project(make_project: Callable[..., Any], source: str) -> Any:
    return make_project(f"""
name: small
tables:
  jobs:
    source: {source}
    key: [id]
    known_at: due
    columns: {{id: {{type: int64}}, due: {{type: timestamp}}}}
prediction: {{rows: jobs, at: due, label: {{value: id > 10, known_at: due}}}}
features: {{row: {{id: id}}}}
training: {{estimator: hist_gradient_boosting}}
""")
