from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evergreen.errors import ParamsError, SourceError
from evergreen.sources.base import Request
from evergreen.sources.catalog import open_source
from tests.sources.drops import SCHEMA, read_one, settled

HEADER = b"id,at,name,x\n"
ROW = b"1,2013-01-01T05:00:00Z,ann,2.5\n"
ANN = {"id": 1, "at": datetime(2013, 1, 1, 5), "name": "ann", "x": 2.5}

Read = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write one file and read it as the only delivery."""

    def read(
        content: bytes, name: str = "drop.csv", schema: pa.Schema = SCHEMA, **options: Any
    ) -> list[dict[str, Any]]:
        (tmp_path / name).write_bytes(content)
        settled(tmp_path / name)
        return read_one(tmp_path, "csv", schema, **options)

    return read


def test_columns_are_found_by_name(read: Read) -> None:
    assert read(b"x,more,name,at,id\n2.5,?,ann,2013-01-01T05:00Z,1\n") == [ANN]


def test_undeclared_columns_are_logged(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    read(b"id,at,name,x,more,most\n1,2013-01-01T05:00Z,ann,2.5,,\n")
    assert "drop.csv: columns that params.yaml does not declare are ignored: more, most" in caplog.text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2013-01-01", datetime(2013, 1, 1)),
        ("2013-01-01 05:00", datetime(2013, 1, 1, 5)),
        ("2013-01-01T05:00Z", datetime(2013, 1, 1, 5)),
        ("2013-01-01T05:00:00.123456Z", datetime(2013, 1, 1, 5, 0, 0, 123456)),
        ("2013-01-01T05:00:00+02:00", datetime(2013, 1, 1, 3)),
        ("2013-01-01T05:00-0500", datetime(2013, 1, 1, 10)),
        ("", None),
    ],
)
def test_moments_become_utc(read: Read, text: str, moment: datetime | None) -> None:
    (row,) = read(HEADER + f"1,{text},ann,2.5\n".encode())
    assert row["at"] == moment


def test_moments_with_and_without_offset_may_be_mixed(read: Read) -> None:
    texts = ("2013-01-01", "2013-01-01T05:00-05:00", "", "2013-01-01T07:00", "2013-01-01T08:00Z")
    rows = read(HEADER + "".join(f"1,{text},ann,2.5\n" for text in texts).encode())
    assert [row["at"] and row["at"].hour for row in rows] == [0, 10, None, 7, 8]


DATED = pa.schema([("id", pa.int64()), ("day", pa.date32()), ("at", pa.timestamp("us"))])
FORMATS = {"day": "%d.%m.%Y", "at": "%d/%m/%y %H:%M:%S%z"}


def test_dates_are_read_as_their_column_writes_them(read: Read) -> None:
    content = b"id;day;at\n1;31.01.2013;31/01/13 12:00:00+0200\n2;;\n3;1.2.2013;01/02/13 00:30:00.5Z\n"
    with pytest.raises(SourceError, match=r"row 4 .*column `at`: `01/02/13 00:30:00.5Z` is not a timestamp as `date_f"):
        read(content, schema=DATED, delimiter=";", date_formats=FORMATS)
    assert read(content.replace(b".5Z", b"Z"), schema=DATED, delimiter=";", date_formats=FORMATS) == [
        {"id": 1, "day": date(2013, 1, 31), "at": datetime(2013, 1, 31, 10)},
        {"id": 2, "day": None, "at": None},
        {"id": 3, "day": date(2013, 2, 1), "at": datetime(2013, 2, 1, 0, 30)},
    ]


@pytest.mark.parametrize("text", ["31.02.2013", "2013-01-31", "1.2.13", "01.02.2013 00:00", "soon"])
def test_a_date_that_is_written_otherwise_or_that_is_none_is_refused(read: Read, text: str) -> None:
    content = b"id,day,at\n1,31.01.2013,\n" + f"2,{text},\n".encode()
    with pytest.raises(SourceError, match=rf"drop.csv: row 3 .*column `day`: `{text}` is not a date .*%d.%m.%Y"):
        read(content, schema=DATED, date_formats=FORMATS)


def test_a_time_in_a_column_of_days_is_not_lost_in_silence(read: Read) -> None:
    content = b"id,day,at\n1,31.01.2013 00:00,\n2,31.01.2013 07:00,\n"
    with pytest.raises(SourceError, match=r"row 3 .*column `day`: `31.01.2013 07:00` is not a date"):
        read(content, schema=DATED, date_formats={"day": "%d.%m.%Y %H:%M"})


def test_a_sample_shows_dates_as_such_and_those_written_otherwise_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "drop.csv").write_bytes(b"id,day,at\n1,31.01.2013,31/01/13 12:00:00Z\n2,soon,\n")
    source = open_source("jobs", {"kind": "csv", "path": "*.csv", "date_formats": FORMATS})
    sample = source.sample(Request(tmp_path, "jobs", DATED, datetime(2013, 4, 1, tzinfo=UTC)), 10)
    assert sample["day"].to_pylist() == ["2013-01-31", "soon"]
    assert sample["at"].to_pylist() == [datetime(2013, 1, 31, 12), None]


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        ({"day": "%d.%m."}, "`%d.%m.` of `day` says no year"),
        ({"day": "%Y-%q"}, "`%Y-%q` of `day`: .*bad directive"),
        ({"sold": "%Y"}, r"tables.jobs.source.date_formats` names `sold`: declare it .* of type date or timestamp"),
        ({"id": "%Y"}, r"date_formats` names `id`"),
    ],
)
def test_a_bad_format_is_named(read: Read, formats: dict[str, str], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        read(b"id,day,at\n", schema=DATED, date_formats=formats)


def test_empty_is_missing_and_other_texts_only_where_told(read: Read) -> None:
    content = b"id;at;name;x\n;;;\n2;;NA;NA\n"
    assert read(content, delimiter=";", null_values=["", "NA"]) == [
        {"id": None, "at": None, "name": None, "x": None},
        {"id": 2, "at": None, "name": None, "x": None},
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + HEADER + ROW,  # a byte order mark
        HEADER + ROW[:-1],  # no line end at the end
        (HEADER + ROW).replace(b"\n", b"\r\n"),
        (HEADER + ROW).replace(b"\n", b"\r"),
        b"\n" + HEADER + b"\n" + ROW + b"\n\n",  # blank lines
        b'"id","at","name","x"\n"1","2013-01-01T05:00:00Z","ann","2.5"\n',
    ],
)
def test_harmless_forms_are_read(read: Read, content: bytes) -> None:
    assert read(content) == [ANN]


@pytest.mark.parametrize("content", [HEADER, HEADER[:-1], HEADER + b"\n\n"])
def test_a_header_alone_is_a_delivery_without_rows(read: Read, content: bytes) -> None:
    assert read(content) == []


@pytest.mark.parametrize("name", ['"two\nlines"', '"with ""quotes"""', '5" disk', '"a,b"', "ünï", '"one\n\n\nmore"'])
def test_values_may_hold_line_ends_and_quotes(read: Read, name: str) -> None:
    (row,) = read(HEADER + f"1,,{name},\n".encode())
    assert row["name"] == (name[1:-1].replace('""', '"') if name[0] == '"' else name)


def test_column_names_may_be_strange(read: Read) -> None:
    schema = pa.schema([('price, in "$"', pa.float64()), ("größe", pa.int64())])
    content = 'größe,"price, in ""$"""\n7,1.5\n'.encode()
    assert read(content, schema=schema) == [{'price, in "$"': 1.5, "größe": 7}]


def test_compressed_files_are_unpacked(read: Read) -> None:
    assert read(gzip.compress(HEADER + ROW * 3, mtime=0), "drop.csv.gz") == [ANN] * 3


def test_a_compressed_file_of_zstd_is_unpacked(read: Read) -> None:
    assert read(pa.Codec("zstd").compress(HEADER + ROW * 3, asbytes=True), "drop.csv.zst") == [ANN] * 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "drop.csv: is empty; expected at least a header"),
        (b"\n\n", "is empty"),
        (b"id,name\n1,ann\n", "drop.csv: lacks the declared columns `at`, `x`. Found: `id`, `name`"),
        (b"id;at;name;x\n1;;ann;2\n", "Found: `id;at;name;x`. Should `delimiter` be ';'"),
        (ROW, "lacks the declared columns .* The first line has to name the columns"),
        (b"id,at,name,\xfc\n1,,ann,2\n", "lacks the declared column `x`. .* The header is not UTF-8; save"),
        (b"id,at,name,x,id\n1,,ann,,2\n", "more than one column named `id`"),
        (HEADER + ROW * 9 + b"two,,ann,\n", "drop.csv: row 11 .*column `id`: `two` is not of the declared type int64"),
        (HEADER + b"517.0,,ann,\n", "row 2 .*column `id`: `517.0`"),
        (HEADER + b"1,,ann,NA\n", "column `x`: `NA` is not of the declared type float64; .* `null_values`"),
        (HEADER + ROW + b"1,1/2/2013,ann,\n", "row 3 .*column `at`: `1/2/2013` is not a timestamp; expected ISO 8601"),
        (HEADER + ROW + b"1,2013-02-30,ann,\n", "row 3 .*`2013-02-30`"),
        (HEADER + ROW + b"1,,m\xfcller,\n", "row 3 .*column `name`: not UTF-8"),
        (HEADER + ROW + b"1,,ann", "row 3 has 3 values, the header 4; was the file cut off"),
        (HEADER + b"1,,ann,2.5,7\n", "row 2 has 5 values, the header 4; was the file cut off"),
        (HEADER + ROW + b'1,,"ann,2\n2,,bob,3\n', "row 3 has 3 values, the header 4; is a quote not closed"),
        ((HEADER + ROW).decode().encode("utf-16"), "looks like UTF-16, .* save the file as UTF-8"),
        ((HEADER + ROW).decode().encode("utf-16-be"), "first line holds NUL bytes: .*; save the file as UTF-8"),
        (HEADER + ROW + b"\0" * 9, "line 3 holds NUL bytes"),
        (HEADER + ROW + b"1,,a\0nn,2.5\n" + ROW, "line 3 holds NUL bytes"),
        (gzip.compress(HEADER, mtime=0), "is packed with gzip; such a file's name has to end in .gz"),
        (b"PK\x03\x04" + b"\0" * 99, "is a zip archive or a spreadsheet"),
        (b"PAR1" + b"\0" * 99, "is a Parquet file; those have a source of their own, `kind: parquet`"),
        (b"x" * (2 << 20), "its header does not end within 1,048,576 bytes"),
        (b'id,at,name,x,"' + b"x\n" * (1 << 20), "its header does not end within 1,048,576 bytes"),
        (HEADER + ROW * 99 + b"1,,ann,2" + b"2" * (5 << 20), "row 101 is millions of characters long"),
    ],
)
def test_a_bad_file_is_refused_with_its_place_and_reason(read: Read, content: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        read(content)


SINGLE = pa.schema([("name", pa.string())])


@pytest.mark.parametrize(
    "content",
    [
        b'name\nann\n"bob\ncarl\n',  # open to the end: Arrow reads two rows
        b'name\nann\n"bob\n"carl"\ndave\n',  # closed by the next value's quote
        b'name\nann\n"bob\n',  # in the last line
        b'name\n"' + b"x" * 5_000_000 + b"\n",  # longer than a block
    ],
)
def test_an_unclosed_quote_is_refused(read: Read, content: bytes) -> None:
    with pytest.raises(SourceError, match="quote"):
        read(content, schema=SINGLE)


@pytest.mark.parametrize("cut", [1, 9, 200])
def test_a_truncated_gzip_file_is_refused(read: Read, cut: int) -> None:
    packed = gzip.compress(HEADER + b"".join(b"%d,,ann,\n" % n for n in range(1000)))
    with pytest.raises(SourceError, match=r"drop.csv.gz: cannot be read"):
        read(packed[:-cut], "drop.csv.gz")


def test_the_row_of_an_error_is_right_behind_the_first_block(read: Read) -> None:
    with pytest.raises(SourceError, match=r"row 200002 .*column `x`: `\?`"):
        read(HEADER + ROW * 200_000 + b"1,,ann,?\n")
    with pytest.raises(SourceError, match=r"row 200002 .*column `at`: `\?`"):
        read(HEADER + ROW * 200_000 + b"1,?,ann,\n")
