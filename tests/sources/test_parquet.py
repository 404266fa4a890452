from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from evergreen.errors import SourceError
from evergreen.sources.catalog import open_source
from tests.sources.drops import SCHEMA, deliveries, read_one, request_for, settled

INT, FLOAT, TEXT, MOMENT, DAY, FLAG = (
    pa.int64(), pa.float64(), pa.string(), pa.timestamp("us"), pa.date32(), pa.bool_(),
)  # fmt: skip
ANN = {"id": 1, "at": datetime(2013, 1, 1, 5), "name": "ann", "x": 2.5}
Taken = Callable[..., list[Any]]


@pytest.fixture
def taken(tmp_path: Path) -> Taken:
    """The values of a column `v` that comes in one array and is declared as a type."""

    def taken(array: pa.Array, declared: pa.DataType, **options: Any) -> list[Any]:
        pq.write_table(pa.table({"v": array}), tmp_path / "drop.parquet", **options)
        return [row["v"] for row in read_one(tmp_path, "parquet", pa.schema([("v", declared)]))]

    return taken


def refused(root: Path, schema: pa.Schema = SCHEMA) -> str:
    (delivery,) = deliveries(root, "parquet", schema=schema)
    with pytest.raises(SourceError) as error:
        list(delivery.batches())
    return str(error.value)


def test_columns_are_found_by_name_and_undeclared_ones_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    nested = {"more": [1, 2], "most": {"id": 3}}
    pq.write_table(pa.Table.from_pylist([nested | {key: ANN[key] for key in reversed(ANN)}]), tmp_path / "drop")
    assert read_one(tmp_path, "parquet") == [ANN]
    assert "drop: columns that params.yaml does not declare are ignored: more, most" in caplog.text


def test_column_names_may_be_strange(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64()), ("größe (m²)", pa.float64()), ("a.b", pa.int64()), ("x|y, $", pa.int64())])
    table = pa.table({"a.b": [2], "a.c": [9], "a": [1], "größe (m²)": [1.5], "x|y, $": [3]})
    pq.write_table(table, tmp_path / "drop")
    assert read_one(tmp_path, "parquet", schema) == [{"a": 1, "größe (m²)": 1.5, "a.b": 2, "x|y, $": 3}]


@pytest.mark.parametrize(
    ("array", "declared", "values"),
    [
        (pa.array([1, None], pa.int8()), INT, [1, None]),
        (pa.array([2**63 - 1], pa.uint64()), INT, [2**63 - 1]),
        (pa.array([1.0, None, float("nan"), -(2.0**53)]), INT, [1, None, None, -(2**53)]),  # pandas, with gaps
        (pa.array([3], pa.float32()), INT, [3]),
        (pa.array([Decimal("7.00")], pa.decimal128(9, 2)), INT, [7]),
        (pa.array([1.5, None], pa.float32()), FLOAT, [1.5, None]),
        (pa.array([2**53, None]), FLOAT, [2.0**53, None]),
        (pa.array([Decimal("0.10"), None, Decimal("123.45")], pa.decimal128(9, 2)), FLOAT, [0.1, None, 123.45]),
        (pa.array([Decimal("0.1"), Decimal("1234.5678")], pa.decimal128(38, 18)), FLOAT, [0.1, 1234.5678]),
        (pa.array(["a", None], pa.large_string()), TEXT, ["a", None]),
        (pa.array(["a", None], pa.string_view()), TEXT, ["a", None]),
        (pa.array(["ü".encode(), None], pa.binary()), TEXT, ["ü", None]),
        (pa.array(["a", "b", None, "a"]).dictionary_encode(), TEXT, ["a", "b", None, "a"]),
        (pa.array([7, None], pa.int16()), TEXT, ["7", None]),
        (pa.array([7, None, 7]).dictionary_encode(), TEXT, ["7", None, "7"]),
        (pa.array([datetime(2013, 1, 1, 5), None], pa.timestamp("ms")), MOMENT, [datetime(2013, 1, 1, 5), None]),
        (pa.array([1_000], pa.timestamp("ns")), MOMENT, [datetime(1970, 1, 1, 0, 0, 0, 1)]),
        (
            pa.array([datetime(2013, 7, 1, tzinfo=UTC)], pa.timestamp("us", "Asia/Tokyo")),
            MOMENT,
            [datetime(2013, 7, 1)],
        ),
        (pa.array([date(2013, 1, 1)]), MOMENT, [datetime(2013, 1, 1)]),
        (pa.array([date(2013, 1, 1), None], pa.date64()), DAY, [date(2013, 1, 1), None]),
        (pa.array([datetime(2013, 1, 1), None], pa.timestamp("ns")), DAY, [date(2013, 1, 1), None]),
        (pa.array([True, None]), FLAG, [True, None]),
        *((pa.nulls(2), declared, [None, None]) for declared in (INT, FLOAT, TEXT, MOMENT, DAY, FLAG)),
    ],
    ids=str,
)
def test_a_column_of_another_type_is_taken_where_no_value_changes(
    taken: Taken, array: pa.Array, declared: pa.DataType, values: list[Any]
) -> None:
    assert taken(array, declared) == values


def test_old_timestamps_of_96_bits_keep_their_year(taken: Taken) -> None:
    far = [datetime(9999, 12, 31), datetime(2013, 1, 1, 5)]
    assert taken(pa.array(far, MOMENT), MOMENT, use_deprecated_int96_timestamps=True) == far


def test_text_in_nothing_but_bytes_is_taken_from_old_writers(taken: Taken) -> None:
    assert taken(pa.array([b"a", b"b"]), TEXT, store_schema=False) == ["a", "b"]


@pytest.mark.parametrize(
    ("good", "bad", "type_", "declared", "reason"),
    [
        (1.0, 1.5, pa.float64(), INT, "`1.5` cannot be int64 without a change (the file has double)"),
        (1.0, float("inf"), pa.float64(), INT, "`inf` cannot be int64"),
        (1, 2**63, pa.uint64(), INT, f"`{2**63}` cannot be int64"),
        (1, 2**53 + 1, pa.int64(), FLOAT, f"`{2**53 + 1}` cannot be float64"),
        (Decimal(1), Decimal("0.12345678901234567890"), pa.decimal128(38, 20), FLOAT, "cannot be float64"),
        (Decimal(1), Decimal("1.5"), pa.decimal128(9, 2), INT, "`1.50` cannot be int64"),
        (b"a", b"\xff", pa.binary(), TEXT, "cannot be string or category without a change (text must be UTF-8)"),
        (1_000, 1, pa.timestamp("ns"), MOMENT, "cannot be timestamp without a change (the file has timestamp[ns])"),
        (0, 2**62, pa.timestamp("ms"), MOMENT, "cannot be timestamp"),
        (datetime(2013, 1, 1), datetime(2013, 1, 1, 5), MOMENT, DAY, "`2013-01-01 05:00:00` cannot be date"),
    ],
)  # fmt: skip
def test_a_value_that_would_change_is_refused_with_its_row(
    tmp_path: Path, good: Any, bad: Any, type_: pa.DataType, declared: pa.DataType, reason: str
) -> None:
    values = pa.array([*[good] * 100_000, bad, *[good] * 9, bad], type_)
    pq.write_table(pa.table({"v": values}), tmp_path / "drop", row_group_size=30_000)
    message = refused(tmp_path, pa.schema([("v", declared)]))
    assert message.startswith("drop: row 100001 (the first is row 1), column `v`: ")
    assert reason in message


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(TEXT, 2, pa.array([b"a", b"\xff"]).buffers())
    pq.write_table(pa.table({"v": bad}), tmp_path / "drop")
    assert "row 2 (the first is row 1), column `v`" in refused(tmp_path, pa.schema([("v", TEXT)]))


@pytest.mark.parametrize(
    ("found", "declared"),
    [
        (pa.string(), INT), (pa.bool_(), INT), (pa.string(), FLOAT), (pa.float64(), TEXT), (pa.date32(), TEXT),
        (pa.string(), MOMENT), (pa.int64(), MOMENT), (pa.timestamp("us", "UTC"), DAY), (pa.int64(), FLAG),
        (pa.list_(pa.int64()), INT), (pa.struct([("a", pa.int64())]), TEXT), (pa.time64("us"), MOMENT),
        (pa.binary(4), TEXT),
    ],
    ids=str,
)  # fmt: skip
def test_a_type_that_is_another_is_refused(tmp_path: Path, found: pa.DataType, declared: pa.DataType) -> None:
    pq.write_table(pa.table({"v": pa.array([], found)}), tmp_path / "drop")
    assert "column `v`: expected " in refused(tmp_path, pa.schema([("v", declared)]))


def test_another_schema_is_refused_with_everything_that_does_not_fit(tmp_path: Path) -> None:
    columns = [pa.array(["1"]), pa.array([[1]]), pa.array(["ann"]), pa.array(["bob"]), pa.array([2.5])]
    pq.write_table(pa.table(columns, ["id", "at", "name", "name", "y"]), tmp_path / "drop")
    assert refused(tmp_path) == (
        "drop: has another schema than params.yaml declares. column `id`: expected int64, the file has string; "
        "column `at`: expected timestamp, the file has list<element: int64>; "
        "column `name`: expected string or category, the file has 2 of that name; "
        "column `x`: expected float64, the file lacks it. "
        "Its columns: `id` string, `at` list<element: int64>, `name` string, `name` string, `y` double"
    )


def whole() -> bytes:
    pq.write_table(pa.Table.from_pylist([ANN] * 1000, SCHEMA), sink := pa.BufferOutputStream(), compression="none")
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; a Parquet file without rows still has a schema"),
        (b"id,at,name,x\n1,,ann,2\n", "is not a Parquet file: it starts with b'id,a'"),
        (b"PAR1", "has no footer: it was cut off"),
        (whole()[:-1], "has no footer: it was cut off, or its writer has not finished; write it again"),
        (whole()[:600], "has no footer"),
        (whole()[:100] + whole()[300:], "cannot be read: "),
        (b"PAR1" + b"\xff" * 100 + whole()[-8:], "cannot be read: "),
        (whole()[:-8] + b"\xff\xff\xff\x7fPAR1", "cannot be read: "),
    ],
    ids=["empty", "csv", "mark", "last byte", "half", "hole", "no pages", "footer's length"],
)
def test_a_file_that_is_damaged_is_refused_with_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "drop").write_bytes(content)
    settled(tmp_path / "drop")
    assert refused(tmp_path).startswith(f"drop: {reason}")


def test_a_page_with_another_checksum_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([ANN | {"x": 2.5 + n} for n in range(1000)], SCHEMA)
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(table, tmp_path / "drop", **options)
    content = bytearray((tmp_path / "drop").read_bytes())
    place = pq.ParquetFile(tmp_path / "drop").metadata.row_group(0).column(3).data_page_offset + 4000
    content[place] ^= 1
    (tmp_path / "drop").write_bytes(content)
    assert "cannot be read: " in refused(tmp_path)


class Keys(pe.KmsClient):
    """Keys that only protect a test."""

    def __init__(self, config: Any) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, name: str) -> bytes:
        return base64.b64encode(key)

    def unwrap_key(self, key: bytes, name: str) -> bytes:
        return base64.b64decode(key)


@pytest.mark.parametrize("plain_footer", [False, True])
def test_an_encrypted_file_is_refused(tmp_path: Path, plain_footer: bool) -> None:
    table = pa.Table.from_pylist([ANN], SCHEMA)
    config = pe.EncryptionConfiguration("footer", column_keys={"column": SCHEMA.names}, plaintext_footer=plain_footer)
    properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), config)
    with pq.ParquetWriter(tmp_path / "drop", SCHEMA, encryption_properties=properties) as writer:
        writer.write_table(table)
    assert refused(tmp_path) == ("drop: is encrypted, and there is no key to read it with; write it without encryption")


def test_a_file_without_rows_is_a_delivery(tmp_path: Path) -> None:
    pq.write_table(SCHEMA.empty_table(), tmp_path / "drop")
    assert read_one(tmp_path, "parquet") == []


def test_rows_keep_their_order_over_batches_and_groups_and_wide_ones_come_in_small_batches(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    table = pa.table({"id": range(5000), "name": [f"{n:05d}" * 2000 for n in range(5000)]})
    pq.write_table(table, tmp_path / "drop", row_group_size=3000)
    (delivery,) = deliveries(tmp_path, "parquet", schema=schema)
    batches = list(delivery.batches())
    assert max(batch.nbytes for batch in batches) < 8 << 20
    assert pa.Table.from_batches(batches)["id"].to_pylist() == list(range(5000))


def test_a_sample_has_every_flat_column_of_files_that_differ(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array(["x"]).dictionary_encode(), "b": [1], "n": [[1]]}), tmp_path / "drop-1")
    pq.write_table(pa.table({"a": pa.array(["y"], pa.large_string()), "c": [True]}), tmp_path / "drop-2")
    sample = open_source("jobs", {"kind": "parquet", "path": "drop*"}).sample(request_for(tmp_path), 10)
    assert sample is not None
    assert sample.to_pylist() == [{"a": "x", "b": 1, "c": None}, {"a": "y", "b": None, "c": True}]


def test_a_sample_of_files_whose_types_differ_is_as_declared_where_each_of_them_is_taken(tmp_path: Path) -> None:
    moment = datetime(2024, 1, 1)
    first = {"id": [1], "at": pa.array([moment], pa.timestamp("ms", "UTC")), "name": ["a"], "more": ["x"]}
    pq.write_table(pa.table(first), tmp_path / "drop-1")
    pq.write_table(pa.table({"id": [2], "at": pa.array([moment]), "name": [7], "more": [1]}), tmp_path / "drop-2")
    sample = open_source("jobs", {"kind": "parquet", "path": "drop*"}).sample(request_for(tmp_path), 10)
    assert sample is not None
    assert sample.to_pydict() == {"id": [1, 2], "at": [moment] * 2, "name": ["a", "7"], "more": ["x", "1"]}
