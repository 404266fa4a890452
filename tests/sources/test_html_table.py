from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from evergreen.errors import SourceError
from evergreen.sources.robots import parse, product
from tests.sources.reading import Reader
from tests.web import Reply, Site, as_html

SCHEMA = pa.schema([("code", pa.string()), ("name", pa.string()), ("planes", pa.int64())])
HEAD = "<tr><th>Code</th><th>Name</th><th>Planes</th></tr>"
T = f"<table id=t>{HEAD}"
ROW = "<tr><td>AA</td><td>American</td><td>956</td></tr>"
AA = {"code": "AA", "name": "American", "planes": 956}
FRAME = "<html><body><table><tr><td>menu</td></tr></table>{}</body></html>"


def put(site: Site, text: str, **headers: str) -> None:
    site.routes["/page"] = lambda asked: as_html(FRAME.format(text), **headers)


def reader(site: Site, **options: Any) -> Reader:
    schema = options.pop("schema", SCHEMA)
    named = options if {"caption", "rows", "table"} & set(options) else {"table": "#t", **options}
    return Reader(schema, kind="html_table", url=f"{site.url}/page", **named)


@pytest.mark.parametrize(
    "table",
    [
        f"{T}{ROW}</table>",
        f"<table id=t><caption>x</caption><thead>{HEAD}</thead><tbody>{ROW}<tfoot><tr><td>sum<td><td>1</table>",
        f"{T}{ROW}{HEAD}</table>",
        "<table id=t><tr><th>Code<th>Name<th>Planes<tr><td>AA<td>American<td>956</table>",  # end tags may be left out
        "<table id=t><tr><th>planes<th>x<th>CODE<th>\n Name </tr><tr><td>956<td>?<td>AA<td>American</table>",
        f"{T}<tr><td><b>A</b>A<!-- no --><script>1</script><td>Amer<wbr>ican<td> 956&nbsp;</table>",
        f"{T}<tr><td>AA<td><table><tr><td>American</td></tr></table></td><td>956</td></tr></table>",
        f"{T}<tfoot><tr><td>sum<td><td>1</tfoot>{ROW}</table>",
        f"<table id=t><thead>{HEAD}<tfoot><tr><td>sum<td><td>1<tbody>{ROW}</table>",
    ],
)  # fmt: skip
def test_a_table_is_read_as_a_reader_sees_it(site: Site, table: str) -> None:
    put(site, table)
    assert reader(site).read() == [AA]


def test_spans_fill_every_place_that_they_cover(site: Site) -> None:
    put(
        site,
        "<table id=t><tr><th rowspan=2>Code<th rowspan=2>Name<th colspan=2>Planes<tr><th>2012<th>2013"
        "<tr><td rowspan=0>AA<td>American<td colspan=2>956<tr><td>Eagle<td>7<td>8</table>",
    )
    wanted = reader(site, header_rows=2, fields={"planes": "Planes 2013"})
    assert wanted.read() == [AA, {"code": "AA", "name": "Eagle", "planes": 8}]
    assert wanted.sample(9).column_names == ["code", "name", "planes", "Planes 2012"]


def test_a_foot_of_a_table_inside_is_none_of_this_one(site: Site) -> None:
    inside = "<table><tr><td>Amer</td></tr><tfoot><tr><td>ican</td></tr></tfoot></table>"
    rows = f"<tr><td>AA</td><td>{inside}</td><td>956</td></tr>" + ROW.replace("AA", "BB")
    put(site, f"<table id=t><thead>{HEAD}</thead><tbody>{rows}</tbody></table>")
    assert [row["code"] for row in reader(site).read()] == ["AA", "BB"]


def test_no_cell_hangs_over_the_end_of_its_part_of_the_table(site: Site) -> None:
    parts = "<tbody><tr><td>AA<td rowspan=9>American<td>956<tr><td>BB<td>1<tbody><tr><td>CC<td>Cargo<td>2"
    put(site, f"<table id=t><thead><tr><th>Code<th rowspan=3>Name<th>Planes</thead>{parts}</table>")
    rows = [tuple(row.values()) for row in reader(site).read()]
    assert rows == [("AA", "American", 956), ("BB", "American", 1), ("CC", "Cargo", 2)]


def test_links_and_numbers_and_dates(site: Site) -> None:
    schema = pa.schema(
        [("name", pa.string()), ("link", pa.string()), ("pay", pa.float64()), ("n", pa.int64()), ("since", pa.date32())]
    )
    put(
        site,
        "<table id=t><tr><th>Name<sup>[1]</sup><th>Pay<th>N<th>Since"
        "<tr><td><a href='/wiki/AA'>American</a><td>1.234.567,5<td>12.345<td>1936-04-15"
        "<tr class=section><td colspan=4>Others<tr><td>Eagle<td>-0,5<td>—<td></table>",
    )
    wanted = reader(
        site, schema=schema, thousands=".", decimal=",", null_values=["", "—"], without=["sup", "tr.section"],
        fields={"link": "name@href"},
    )  # fmt: skip
    assert [list(row.values()) for row in wanted.read()] == [
        ["American", f"{site.url}/wiki/AA", 1234567.5, 12345, date(1936, 4, 15)],
        ["Eagle", None, -0.5, None, None],
    ]


@pytest.mark.parametrize("text", ["1.23", "1.2345", "12,3.456", "1_000", "0x1", "1e400000"])
def test_a_number_in_another_form_is_refused(site: Site, text: str) -> None:
    schema = pa.schema([("n", pa.int64())])
    put(site, f"<table id=t><tr><th>n<tr><td>{text}</table>")
    with pytest.raises(SourceError, match=r"/page: row 1 under the header, column `n`: .* int64"):
        reader(site, schema=schema, thousands=".", decimal=",").read()


def test_a_table_is_found_by_its_caption(site: Site) -> None:
    put(site, f"<table><caption>Old</caption>{HEAD}</table><table><caption> Air\nlines </caption>{HEAD}{ROW}</table>")
    assert reader(site, caption="Air lines").read() == [AA]


def test_fields_are_found_where_there_is_no_table(site: Site) -> None:
    item = "<li class=item><a class=title href=x/aa title=American>AA</a> <b>956</b></li>"
    put(site, f"<ul>{item}{item.replace('<b>956</b>', '').replace('AA', 'BB')}</ul>")
    fields = {"code": "a.title", "name": "a.title@title", "planes": "b"}
    rows = reader(site, rows="li.item", fields=fields).read()
    assert rows == [AA, {"code": "BB", "name": "American", "planes": None}]
    link = reader(site, rows="li.item", fields={**fields, "name": "a@href"})
    assert link.read()[0]["name"] == f"{site.url}/x/aa"
    assert link.sample(1).to_pylist() == [{**AA, "name": f"{site.url}/x/aa"}]


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1251", "shift_jis"])
@pytest.mark.parametrize("told", ["header", "meta"])
def test_pages_in_any_encoding_are_read(site: Site, charset: str, told: str) -> None:
    name = {"iso-8859-1": "Müller", "windows-1251": "Аэрофлот", "shift_jis": "全日本空輸"}.get(charset, "Ünï")
    meta = f'<meta charset="{charset}">' if told == "meta" else ""
    text = f"<html><head>{meta}</head><table id=t>{HEAD}{ROW.replace('American', name)}</table>"
    kind = "text/html" + (f'; charset="{charset}"' if told == "header" else "")
    site.routes["/page"] = lambda asked: Reply(text.encode(charset), 200, {"Content-Type": kind})
    assert reader(site).read() == [{**AA, "name": name}]


@pytest.mark.parametrize(
    ("page", "options", "reason"),
    [
        ("<p>moved</p>", {}, "0 elements match the selector #t, where one table is expected. Found: table"),
        (f"{T}</table>" * 2, {}, "2 elements match the selector #t.*Found: table#t, table#t"),
        (f"<div id=t>{HEAD}{ROW}</div>", {}, "1 elements match the selector #t, where .* Found: div#t"),
        (f"<table class='a b'><caption>New</caption>{HEAD}{ROW}", {"caption": "Old"}, "`Old`.*table.a.b with .*`New`"),
        (T.replace("Planes", "Fleet") + ROW, {}, "no column.*`planes`.*Found: Code, Name, Fleet"),
        (T.replace("Code", "Name") + ROW, {"fields": {"code": "Name"}}, "2 columns .* named `Name`"),
        (f"{T}</table>", {}, r"has 0 rows, fewer than `min_rows` \(1\): has its layout changed"),
        ("<table id=t></table>", {}, "the table has 0 rows, and `header_rows` is 1"),
        (f"{T}{ROW}<tr><td>BB<td>x</table>", {}, "row 3 of the table has 2 cells where 3 are expected"),
        (f"{T}{ROW}<tr><td colspan=3>Others</table>", {}, "row 3 of the table has one cell across all"),
        (f"{T}{ROW.replace('956', 'many')}</table>", {}, "row 1 under .* column `planes`: `many`"),
        (f"{T}<tr><td>AA<td rowspan=2>a<td>1<tr><td colspan=2>BB<td>2</table>", {},
         r"row 3 of the table has a cell that runs into one from above \(`BB`\)"),
        (T + "<tr>" + "<td colspan=1000>" * 10_001, {}, "more than 10000000 cells up to row 2, as its"),
        ("<ul></ul>", {"rows": "li", "fields": dict.fromkeys(SCHEMA.names, "b")}, "has 0 rows, fewer than"),
        ("<li><b>1", {"rows": "li", "fields": {"code": "b", "name": "b", "planes": "i"}}, "no row has a part .* i "),
        ("<li><b>1</b><b>2", {"rows": "li", "fields": dict.fromkeys(SCHEMA.names, "b")}, "2 parts of row 1 match b"),
        ("<li><b>1</b>", {"rows": "li", "fields": {"code": "b"}}, "`fields` does not say where .* column `name` is"),
    ],
)  # fmt: skip
def test_another_layout_is_a_failure_and_not_an_empty_table(
    site: Site, page: str, options: dict[str, Any], reason: str
) -> None:
    put(site, page)
    with pytest.raises(SourceError, match=f"http://127.0.0.1:{site.port}/page: .*{reason}"):
        reader(site, **options).read()


@pytest.mark.parametrize(
    ("page", "options"),
    [
        (f"<html>{T}{ROW}<tr><td>BB<td>Bri", {}),
        (f"<html>{T}{ROW}{ROW}", {}),
        (f"<html><table></table>{T}{ROW}<tr><td>BB<td><table></table>", {}),
        (f"<html>{T}{ROW}</tab", {}),
        ("<html><li><b>1</b></li><li><b>2", {"rows": "li", "fields": dict.fromkeys(SCHEMA.names, "b")}),
    ],
)
def test_a_page_whose_end_did_not_come_is_refused(site: Site, page: str, options: dict[str, Any]) -> None:
    """A body without a length ends where the connection does, wherever that is."""
    kind = {"Content-Type": "text/html; charset=utf-8"}
    site.routes["/page"] = lambda asked: Reply(parts=iter([page.encode()]), headers=kind)
    with pytest.raises(SourceError, match=r"/page: its end did not come: there is no </.*ingest again"):
        reader(site, **options).read()


@pytest.mark.parametrize("end", ["</table>", "</TABLE>\n", "</table><p>cut he", "</html>"])
def test_a_table_whose_end_has_come_is_read(site: Site, end: str) -> None:
    kind = {"Content-Type": "text/html; charset=utf-8"}
    site.routes["/page"] = lambda asked: Reply(parts=iter([f"{T}{ROW}{end}".encode()]), headers=kind)
    assert reader(site).read() == [AA]


def test_what_cannot_be_decoded_is_refused(site: Site) -> None:
    text = f"{T}{ROW}</table>".replace("American", "\xff").encode("latin-1")
    site.routes["/page"] = lambda asked: Reply(text, 200, {"Content-Type": "text/html; charset=ascii"})
    with pytest.raises(SourceError, match="/page: is not in the encoding that it names"):
        reader(site).read()


def test_a_page_that_has_not_changed_is_not_sent_again_and_other_furniture_is_nothing_new(site: Site) -> None:
    put(site, f"{T}{ROW}</table>", ETag='"1"')
    wanted = reader(site)
    assert (wanted.read(), wanted.read()) == ([AA], [])
    assert (len(wanted.receipts), site.asked[-1].headers["if-none-match"]) == (1, '"1"')
    put(site, f"<p>another menu</p><table id=t>{HEAD}{ROW}</table>", ETag='"2"')
    assert wanted.read() == []
    assert len(wanted.receipts) == 2
    put(site, f"{T}{ROW}{ROW.replace('AA', 'BB')}</table>", ETag='"3"')
    assert len(wanted.read()) == 2


def test_another_way_of_reading_is_not_answered_by_an_old_etag(site: Site) -> None:
    put(site, "<table id=t><tr><th>Code<th>Name<th>Planes<th>Old<tr><td>AA<td>American<td>956<td>1</table>", ETag='"1"')
    wanted = reader(site)
    assert (wanted.read(), wanted.read()) == ([AA], [])
    wanted.options["fields"] = {"planes": "Old"}
    assert wanted.read() == [AA | {"planes": 1}]


def test_a_long_page_is_refused(site: Site) -> None:
    put(site, f"{T}{ROW * 100}</table>")
    with pytest.raises(SourceError, match="/page: the body is longer than 1000 bytes"):
        reader(site, max_bytes=1000).read()


def robots(site: Site, text: str, status: int = 200) -> None:
    site.routes["/robots.txt"] = lambda asked: Reply(text.encode(), status)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", True),
        ("User-agent: *\nDisallow: /", False),
        ("User-agent: *\nDisallow:", True),
        ("User-agent: *\nDisallow: /p*e", False),
        ("User-agent: *\nDisallow: /page$\nAllow: /page?", True),
        ("User-agent: *\nDisallow: /\nAllow: /page # but this", True),
        ("User-agent: *\nDisallow: /\n\nUser-Agent: Evergreen\nDisallow: /private", True),
        ("User-agent: other\nUser-agent: evergreen\nDisallow: /page\n", False),
        ("user-agent: other\ndisallow: /", True),
    ],
)
def test_robots_txt_is_kept_to(site: Site, text: str, allowed: bool) -> None:
    robots(site, text)
    put(site, f"{T}{ROW}</table>")
    wanted = reader(site, params={"a": 1})
    if allowed:
        assert wanted.read() == [AA]
    else:
        with pytest.raises(SourceError, match=r"robots.txt asks evergreen not to read this page"):
            wanted.read()
    assert [asked.path for asked in site.asked] == ["/robots.txt", "/page"][: 1 + allowed]
    assert all(asked.headers["user-agent"].startswith("evergreen/") for asked in site.asked)


def test_a_longest_rule_wins_and_names_are_those_of_programs() -> None:
    rules = parse("User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c\nCrawl-delay: 7", "evergreen")
    assert [rules.allow(path) for path in ("/", "/a", "/a/b", "/a/b/c", "/%61")] == [True, False, True, False, False]
    assert rules.delay == 7
    assert product("Evergreen/0.1 (me@example.org)") == "evergreen"


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("/a*c*e", ["/ace", "/abcde", "/accef"], ["/ae", "/aec", "/bace"]),
        ("/a*b$", ["/ab", "/abab", "/a/b"], ["/a", "/abc", "/b"]),
        ("/ab*b$", ["/abb", "/abab"], ["/ab"]),
        ("/a$", ["/a"], ["/ab", "/"]),
        ("*x*", ["/x", "x"], ["/"]),
        ("/a*$", ["/a", "/abc"], ["/"]),
        ("/" + "*a" * 12 + "*b", ["/" + "a" * 12 + "b"], ["/" + "a" * 40]),
    ],
)
def test_stars_stand_for_anything(pattern: str, fits: list[str], does_not: list[str]) -> None:
    rules = parse(f"User-agent: *\nDisallow: {pattern}", "evergreen")
    assert [path for path in fits + does_not if not rules.allow(path)] == fits


def test_a_site_whose_robots_txt_fails_is_left_alone(site: Site) -> None:
    put(site, f"{T}{ROW}</table>")
    robots(site, "", 503)
    with pytest.raises(SourceError, match=r"/robots.txt: the server says 503"):
        reader(site, give_up_after="1 second").read()
    assert "/page" not in [asked.path for asked in site.asked]
    robots(site, "", 403)
    assert reader(site).read() == [AA]


def test_a_redirect_asks_the_other_page_too(site: Site) -> None:
    robots(site, "User-agent: *\nDisallow: /hidden")
    site.routes["/page"] = lambda asked: Reply(b"", 302, {"Location": "/hidden"})
    with pytest.raises(SourceError, match=r"/hidden: the site's robots.txt asks"):
        reader(site).read()
