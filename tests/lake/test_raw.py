from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import LakeError
from evergreen.lake import raw, rejects
from evergreen.lake.manifests import DataFile, commit, read_manifests
from evergreen.lake.rejects import Reject, read_rejects
from evergreen.paths import file_sha256

SCHEMA = pa.schema([("id", pa.int64()), ("x", pa.float64()), ("name", pa.string())])
ORIGIN = "ab" * 32


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "ROW_GROUP", 10)
    monkeypatch.setattr(raw, "FILE_ROWS", 20)


def table(rows: int) -> pa.Table:
    return pa.table(
        [list(range(rows)), [n / 3 for n in range(rows)], [f"n{n % 7}" for n in range(rows)]], schema=SCHEMA
    )


def write(lake: Path, rows: pa.Table, batch: int, seq: int = 1) -> list[DataFile]:
    writer = raw.RawWriter(lake, "jobs", SCHEMA)
    assert writer.write(iter(rows.to_batches(max_chunksize=batch))) == rows.num_rows
    return writer.place("drop.csv", ORIGIN, seq)


def test_files_are_named_after_the_origins_content_and_described(tmp_path: Path) -> None:
    files = write(tmp_path, table(45), 45)
    assert [(file.path, file.rows) for file in files] == [
        (f"raw/jobs/{'ab' * 8}-00000.parquet", 20),
        (f"raw/jobs/{'ab' * 8}-00001.parquet", 20),
        (f"raw/jobs/{'ab' * 8}-00002.parquet", 5),
    ]
    for file in files:
        assert file.sha256 == file_sha256(tmp_path / file.path)
        assert file.bytes == (tmp_path / file.path).stat().st_size
        assert (file.origin, file.origin_sha256) == ("drop.csv", ORIGIN)
    assert pa.concat_tables(pq.read_table(tmp_path / file.path) for file in files).equals(table(45))


def test_row_groups_are_whole_and_files_bounded(tmp_path: Path) -> None:
    files = write(tmp_path, table(45), 7)
    metadata = [pq.read_metadata(tmp_path / file.path) for file in files]
    groups = [[one.row_group(n).num_rows for n in range(one.num_row_groups)] for one in metadata]
    assert groups == [[10, 10], [10, 10], [5]]


@pytest.mark.parametrize("batch", [1, 7, 10, 13, 45])
def test_the_same_rows_give_the_same_bytes_however_they_come_in(tmp_path: Path, batch: int) -> None:
    whole = write(tmp_path / "whole", table(45), 20)
    assert write(tmp_path / "cut", table(45), batch) == whole


@pytest.mark.parametrize("batch", [1, 3, 7, 45])
def test_wide_rows_end_a_row_group_by_their_size_and_narrow_ones_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(raw, "GROUP_BYTES", 10_000)
    rows = table(45)
    texts = [None if n % 5 == 0 else "ä" * (2_500 if 10 <= n < 14 else 20_000 if n == 21 else 1) for n in range(45)]
    rows = rows.set_column(2, "name", pa.array(texts))
    files = write(tmp_path, rows, batch)
    metadata = [pq.read_metadata(tmp_path / file.path) for file in files]
    groups = [[one.row_group(n).num_rows for n in range(one.num_row_groups)] for one in metadata]
    # Up to the one that fills it, which 12 and 21 do; 0, 5, 10... are null.
    assert groups == [[10, 3], [9, 10], [10, 3]]
    assert pa.concat_tables(pq.read_table(tmp_path / file.path) for file in files).equals(rows)


def test_not_a_number_is_missing(tmp_path: Path) -> None:
    rows = pa.table([[1, 2, 3], [1.5, float("nan"), None], ["a", "b", None]], schema=SCHEMA)
    (file,) = write(tmp_path, rows, 3)
    assert pq.read_table(tmp_path / file.path)["x"].to_pylist() == [1.5, None, None]


def test_no_rows_make_one_empty_file(tmp_path: Path) -> None:
    (file,) = write(tmp_path, table(0), 1)
    read = pq.read_table(tmp_path / file.path)
    assert (file.rows, read.num_rows, read.schema) == (0, 0, SCHEMA)


def test_a_source_that_fails_leaves_nothing_once_discarded(tmp_path: Path) -> None:
    def failing() -> raw.Iterator[pa.RecordBatch]:
        yield from table(30).to_batches()
        raise ValueError("cut off")

    writer = raw.RawWriter(tmp_path, "jobs", SCHEMA)
    with pytest.raises(ValueError, match="cut off"):
        writer.write(failing())
    writer.discard()
    assert list((tmp_path / "raw/jobs").iterdir()) == []


@pytest.mark.parametrize("held", [1, 1000])
def test_rejects_among_the_rows_of_many_files_are_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(rejects, "HELD", held)

    def batches() -> raw.Iterator[pa.RecordBatch | Reject]:
        for number, batch in enumerate(table(95).to_batches(max_chunksize=5)):
            yield batch
            yield Reject(place=f"topic[0]@{number}", reason="no JSON", content=b"bad")

    writer = raw.RawWriter(tmp_path, "jobs", SCHEMA)
    writer.write(batches())
    files = writer.place("topic", ORIGIN, 1)
    found = read_rejects(tmp_path, files, 100)
    assert [one.place for one in found] == [f"topic[0]@{number}" for number in range(19)]
    assert files[0].rejects is not None
    assert files[0].rejects.rows == 19


def test_a_disk_that_fails_is_an_error_of_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path, table(45), 5)


def test_orphans_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = write(tmp_path, table(25), 25)
    folder = raw.raw_folder(tmp_path, "jobs")
    commit(folder, 1, datetime(2013, 1, 1, tzinfo=UTC), kept)
    for name in ("cd-00000.parquet", ".00000.part", "ledger/.manifest.x1"):
        (folder / name).write_text("left by a killed run")
    assert raw.remove_orphans(tmp_path, "jobs", read_manifests(folder)) == 3
    left = sorted(path.relative_to(tmp_path).as_posix() for path in folder.rglob("*") if path.is_file())
    assert left == sorted([*(file.path for file in kept), "raw/jobs/.newest.json", "raw/jobs/ledger/00000001.json"])


def test_there_are_no_orphans_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert raw.remove_orphans(tmp_path, "jobs", []) == 0


def test_a_raw_file_is_never_replaced(tmp_path: Path) -> None:
    write(tmp_path, table(5), 5)
    (again,) = write(tmp_path, table(5), 5, seq=7)
    assert again.path == f"raw/jobs/{'ab' * 8}-7-00000.parquet"
    with pytest.raises(LakeError, match="raw files never change"):
        write(tmp_path, table(6), 5, seq=7)
