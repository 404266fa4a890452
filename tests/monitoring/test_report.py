from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

from evergreen.monitoring.performance import performance
from evergreen.monitoring.records import Drift, Record, Reference, RuleResult
from evergreen.monitoring.report import write_summary

END = datetime(2013, 4, 8, 4, tzinfo=UTC)
WEEK = timedelta(days=7)


def window(week: int, bias: float | None, **changes: object) -> Record:
    import numpy as np

    rule = RuleResult(
        name="b<i>as", kind="bias", value=bias, limit=0.1, alarm=bias is not None and abs(bias) > 0.1, text="x & y"
    )
    values = {
        **performance(np.zeros(0), np.zeros(0)).model_dump(), "bias": bias, "build": "b1", "version": 3,
        "start": END + (week - 1) * WEEK, "end": END + week * WEEK, "first_day": None, "last_day": None,
        "complete_days": 7, "mature": True, "unpredicted": 2, "unlabelled": 1, "rules": (rule,),
        "reference": Reference(sd=0.03, windows=12, rows=9000),
        "drift": Drift(share=0.5, columns={"<b>$": True, "ok": False}, left_out={"gone": "not in the window"}),
    }  # fmt: skip
    return Record.model_validate({**values, **changes})


class Tags(HTMLParser):
    """Collects tags, and fails on one that is closed without having been opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "rect", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag


def write(path: Path, *records: Record, drift: bool = True) -> str:
    write_summary(path / "monitor.html", "small", records, "alarm: <why>", ZoneInfo("America/New_York"), drift)
    return (path / "monitor.html").read_text()


def test_the_page_shows_windows_rules_and_bias_and_needs_nothing_else(tmp_path: Path) -> None:
    page = write(tmp_path, window(0, 0.02), window(1, -0.2))
    tags = Tags()
    tags.feed(page)

    assert tags.open == []
    assert tags.seen.count("svg") == 1
    assert tags.seen.count("rect") == 2
    assert page.index("2013-04-15 00:00</td>") < page.index("2013-04-08 00:00</td>"), "the newest window is first"
    assert "-0.100" in page
    assert "+0.100" in page
    assert "version 3 (b1)" in page
    assert 'href="drift.html"' in page
    assert not re.search(r"(src|href)=\"?https?:|<script|@import", page)


def test_names_and_texts_are_escaped(tmp_path: Path) -> None:
    page = write(tmp_path, window(0, -0.2))

    for raw in ("b<i>as", "x & y", "<b>$", "<why>"):
        assert raw not in page
    for escaped in ("b&lt;i&gt;as", "x &amp; y", "&lt;b&gt;$", "alarm: &lt;why&gt;"):
        assert escaped in page


def test_what_is_not_known_says_so(tmp_path: Path) -> None:
    page = write(tmp_path, window(0, None, mature=False, rules=(), drift=None), drift=False)

    assert "No rule was asked" in page
    assert "immature" in page
    assert "unknown" in page
    assert "nan" not in page.lower()
    assert "drift.html" not in page


def test_equal_records_are_equal_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a", window(0, 0.1)) == write(tmp_path / "b", window(0, 0.1))
