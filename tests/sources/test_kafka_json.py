from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from evergreen.sources.kafka_json import Parser, infer

SCHEMA = pa.schema([
    ("id", pa.int64()), ("x", pa.float64()), ("ok", pa.bool_()), ("team", pa.string()), ("at", pa.timestamp("us")),
    ("day", pa.date32()),
])  # fmt: skip
GOOD = b'{"id": 1, "x": 2, "ok": true, "team": "red", "at": "2013-01-01T05:00:00Z", "day": "2013-01-31", "more": [{}]}'
ROW = {"id": 1, "x": 2.0, "ok": True, "team": "red", "at": datetime(2013, 1, 1, 5), "day": date(2013, 1, 31)}
NONE = dict.fromkeys(ROW)


def parse(*values: bytes, epoch: Any = None) -> tuple[list[dict[str, Any]], dict[int, str]]:
    parsed = Parser(SCHEMA, epoch).parse(values)
    assert parsed.rows.schema == SCHEMA
    return parsed.rows.to_pylist(), parsed.bad


def test_messages_become_typed_rows() -> None:
    assert parse(GOOD, b"{}", b'{"id": null, "other": null}') == ([ROW, NONE, NONE], {})


@pytest.mark.parametrize("value", [b" \n" + GOOD + b"\r\n", GOOD.replace(b", ", b",\n\t"), GOOD.replace(b": ", b":")])
def test_blanks_between_are_free(value: bytes) -> None:
    assert parse(GOOD, value, GOOD) == ([ROW] * 3, {})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "is empty"),
        (b"  ", "is empty"),
        (b"null", "is JSON, but no object: null"),
        (b"[1]", "is JSON, but no object: .1."),
        (b"7", "is JSON, but no object: 7"),
        (b"hello", "is not JSON: Expecting value.*begins with hello"),
        (b'{"id": 1', "is not JSON: Expecting"),
        (b'{"id": 1}}', "is not JSON: Extra data"),
        (b'{"id": 1}{"id": 2}', "is not JSON: Extra data"),
        (b'{"id": 1}null{"id": 2}', "is not JSON: Extra data"),
        (b'{"id": 1}\n{"id": 2}', "is not JSON: Extra data"),
        (b'{"team": "a\nb"}', "is not JSON: Invalid control character"),
        (b'{"team": "\xff"}', "is not UTF-8"),
        (b'\xef\xbb\xbf{"id": 1}', "is not JSON: Unexpected UTF-8 BOM"),
        (b'{"id": "1"}', '`id` is "1" and should be a whole number of 64 bits'),
        (b'{"id": 1.0}', "`id` is 1.0 and should be a whole number"),
        (b'{"id": true}', "`id` is true and should be a whole number"),
        (b'{"id": 9223372036854775808}', "`id` is 9223372036854775808 and should be a whole number"),
        (b'{"id": 1, "id": 2}', "id.* twice"),
        (b'{"x": "a"}', '`x` is "a" and should be a number'),
        (b'{"x": 1e999}', "too big"),
        (b'{"ok": 1}', "`ok` is 1 and should be true or false"),
        (b'{"team": 1}', "`team` is 1 and should be text"),
        (b'{"team": "\\udc00"}', r'`team` is "\\udc00" and should be text'),
        (b'{"\\ud800": "\\udc00", "id": "x"}', "`id` is .x. and should"),
        (b'{"team": {"a": 1}}', '`team` is {"a": 1} and should be text'),
        (b'{"at": "soon"}', '`at` is "soon" and should be a moment'),
        (b'{"at": 1356998400}', "`at` is 1356998400 and should be a moment"),
        (b'{"day": "31.1.2013"}', '`day` is "31.1.2013" and should be a date'),
        (b'{"at": "2013-01-01T05:00:00Z", "id": "x"}', '`id` is "x"'),
        (b'{"team": "' + b"a" * 500 + b'", "id": "' + b"7" * 500 + b'"}', "`id` is .{80}\\.\\.\\. and should"),
        (b'{"zz": ' + b"[" * 300_000, "is not JSON"),
    ],
)  # fmt: skip
def test_a_bad_message_is_named_and_its_neighbours_stay(value: bytes, reason: str) -> None:
    rows, bad = parse(GOOD, GOOD, value, GOOD)
    assert rows == [ROW] * 3
    assert list(bad) == [2]
    assert re.search(reason, bad[2]), bad[2]
    assert parse(value) == ([], {0: bad[2]})


def test_parts_of_objects_that_add_up_to_the_right_number_are_bad_all_the_same() -> None:
    two, first, second = b'{"id": 1}\n{"id": 2}', b'{"id": 3, "x":', b"4}"
    rows, bad = parse(two, first, second, GOOD)
    assert (rows, list(bad)) == ([ROW], [0, 1, 2])


def test_many_bad_messages_are_found_each() -> None:
    count = 3000
    values = [json.dumps({"id": n if n % 7 else "bad"}).encode() for n in range(count)]
    rows, bad = parse(*values)
    assert list(bad) == list(range(0, count, 7))
    assert [row["id"] for row in rows] == [n for n in range(count) if n % 7]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2013-01-01", datetime(2013, 1, 1)), ("2013-01-01T05:00:00.25+02:00", datetime(2013, 1, 1, 3, 0, 0, 250_000)),
        ("2013-01-01 05:00", datetime(2013, 1, 1, 5)), ("2013-01-01T05:00-0500", datetime(2013, 1, 1, 10)),
    ],
)  # fmt: skip
def test_moments_with_and_without_offset_may_be_mixed(text: str, moment: datetime) -> None:
    rows, bad = parse(json.dumps({"at": text}).encode(), GOOD, b'{"at": "2012-02-02"}')
    assert not bad
    assert [row["at"] for row in rows] == [moment, ROW["at"], datetime(2012, 2, 2)]


@pytest.mark.parametrize(("times", "factor"), [("seconds", 1), ("milliseconds", 1000), ("microseconds", 1_000_000)])
def test_moments_as_numbers(times: str, factor: int) -> None:
    moment = int(datetime(2013, 1, 1, 5, tzinfo=UTC).timestamp())
    content = [{"at": moment * factor}, {"at": None}, {"at": "2013-01-01"}, {"at": 1.5}]
    rows, bad = parse(*(json.dumps(one).encode() for one in content), epoch=times)
    assert [row["at"] for row in rows] == [datetime(2013, 1, 1, 5), None]
    assert bad[2] == f'`at` is "2013-01-01" and should be {times} since 1970'
    assert list(bad) == [2, 3]


def test_inferred_types_and_a_column_of_several_kinds() -> None:
    values = [
        b'{"a": 1, "b": "x", "c": {"d": 1}}',
        b"nonsense",
        b'{"a": 2.5, "b": 3, "e": "2013-01-01T05:00:00"}',
        b"[]",
    ]
    places, table = infer(values)
    assert places == [0, 2]
    assert table is not None
    assert table.column("a").to_pylist() == [1.0, 2.5]
    assert table.column("b").to_pylist() == ['"x"', "3"]
    assert pa.types.is_timestamp(table.schema.field("e").type)
    assert infer([b"", b"null"]) == ([], None)


def test_a_sample_passes_over_half_a_surrogate_pair() -> None:
    places, table = infer([b'{"team": "\\udc00"}', b'{"team": "red"}', b'{"\\udc00": 1}'])
    assert (places, table and table.to_pylist()) == ([1], [{"team": "red"}])
