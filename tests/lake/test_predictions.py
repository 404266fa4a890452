from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import LakeError
from evergreen.lake.manifests import Conflict, commit, read_manifests
from evergreen.lake.predictions import (
    add_predictions,
    prediction_files,
    prediction_schema,
    read_predictions,
    remove_orphans,
)
from evergreen.lake.schema import prediction_type

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ODD = "größe $ `x`"


def said(first: int, last: int, build: str = "a", scored: int = 100) -> pa.Table:
    """Predictions at the hours from `first` up to `last`, the later ones first."""
    hours = range(last - 1, first - 1, -1)
    inputs = pa.array(
        [{ODD: float(hour), "team": None} for hour in hours], pa.struct([(ODD, pa.float64()), ("team", pa.string())])
    )
    moments = [(START + hour * HOUR).replace(tzinfo=None) for hour in hours]
    count = len(moments)
    columns = [
        [f"{hour:04d}" for hour in hours], moments, [build] * count, [None] * count, [0.5] * count,
        [(START + scored * HOUR).replace(tzinfo=None)] * count, inputs,
    ]  # fmt: skip
    schema = prediction_schema(inputs.type)
    return pa.table(
        [pa.array(c, f.type) if isinstance(c, list) else c for c, f in zip(columns, schema, strict=True)], schema=schema
    )


def keys(table: pa.Table) -> list[str]:
    return table["_key"].to_pylist()


def test_what_was_added_is_read_back_in_order_of_time(tmp_path: Path) -> None:
    add_predictions(tmp_path, START, [said(5, 9), said(9, 12, "b")])
    add_predictions(tmp_path, START, [said(0, 5)])
    found = read_predictions(tmp_path)

    assert keys(found) == [f"{n:04d}" for n in range(12)]
    assert found["build"].to_pylist() == ["a"] * 9 + ["b"] * 3
    assert found.schema == prediction_schema()
    assert [manifest.seq for manifest in read_manifests(tmp_path / "predictions")] == [1, 2]


def test_inputs_may_have_any_name(tmp_path: Path) -> None:
    add_predictions(tmp_path, START, [said(0, 2)])
    inputs = read_predictions(tmp_path, build="a", columns=["inputs"])["inputs"]

    assert pa.Table.from_struct_array(inputs).to_pydict() == {ODD: [0.0, 1.0], "team": [None, None]}


def test_only_files_whose_span_overlaps_are_opened(tmp_path: Path) -> None:
    for day in range(5):
        add_predictions(tmp_path, START, [said(day * 24, day * 24 + 24)])
    after, until = START + 23 * HOUR, START + 48 * HOUR  # (23, 48]

    assert [file.first for file in prediction_files(tmp_path, after, until)] == [START + 24 * HOUR, START + 48 * HOUR]
    assert keys(read_predictions(tmp_path, after, until)) == [f"{n:04d}" for n in range(24, 49)]
    for file in prediction_files(tmp_path)[3:]:
        (tmp_path / file.data.path).unlink()
    assert read_predictions(tmp_path, after, until).num_rows == 25
    assert prediction_files(tmp_path, build="b") == []


def test_nothing_is_an_empty_table(tmp_path: Path) -> None:
    assert read_predictions(tmp_path).schema == prediction_schema()
    assert add_predictions(tmp_path, START, [said(0, 0)]) is None
    assert read_manifests(tmp_path / "predictions") == []


def test_equal_predictions_are_equal_bytes(tmp_path: Path) -> None:
    add_predictions(tmp_path / "x", START, [said(0, 9)])
    add_predictions(tmp_path / "y", START, [said(0, 9).take(list(range(8, -1, -1)))])

    assert prediction_files(tmp_path / "x") == prediction_files(tmp_path / "y")


def test_orphans_are_removed_and_nothing_else(tmp_path: Path) -> None:
    add_predictions(tmp_path, START, [said(0, 9)])
    folder = tmp_path / "predictions"
    pq.write_table(said(9, 10), folder / "a-0123.parquet")
    (folder / ".a-4567.parquet.x").write_text("half")
    (folder / "ledger" / ".manifest.x").write_text("half")

    assert sorted(remove_orphans(tmp_path)) == [".a-4567.parquet.x", ".manifest.x", "a-0123.parquet"]
    assert read_predictions(tmp_path).num_rows == 9
    assert remove_orphans(tmp_path) == []
    assert remove_orphans(tmp_path / "nowhere") == []


def test_a_lost_manifest_costs_no_predictions(tmp_path: Path) -> None:
    for first in (0, 9):
        add_predictions(tmp_path, START, [said(first, first + 9)])
    folder = tmp_path / "predictions"
    kept, last = sorted(folder.glob("*.parquet")), folder / "ledger" / "00000002.json"
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(LakeError, match=rf"{last.name} is missing"):
        remove_orphans(tmp_path)
    assert sorted(folder.glob("*.parquet")) == kept
    last.write_bytes(content)
    (folder / ".newest.json").unlink()
    assert remove_orphans(tmp_path) == []
    assert (folder / ".newest.json").exists(), "what a kill after the commit left is put right"


def test_a_missing_or_altered_file_is_named(tmp_path: Path) -> None:
    add_predictions(tmp_path, START, [said(0, 9)])
    path = tmp_path / prediction_files(tmp_path)[0].data.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(LakeError, match=f"{path.name} was altered"):
        read_predictions(tmp_path)
    path.unlink()
    with pytest.raises(LakeError, match=f"{path.name} is missing"):
        read_predictions(tmp_path)


def test_of_two_hosts_one_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No lock is shared: the other host commits between this one's reading of the ledger and its commit."""
    from evergreen.lake import predictions

    def late(*arguments: object) -> object:
        monkeypatch.undo()
        add_predictions(tmp_path, START, [said(0, 9)])
        return commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(predictions, "commit", late)
    with pytest.raises(Conflict):
        add_predictions(tmp_path, START, [said(0, 9)])
    assert read_predictions(tmp_path).num_rows == 9


def test_builds_that_predict_labels_of_other_kinds_are_read_together(tmp_path: Path) -> None:
    """A list of numbers where a label has several classes; beside them, a number is a list of its own."""
    wide = said(4, 6, "three")
    lists = pa.array([[0.2, 0.3, 0.5]] * wide.num_rows, prediction_type(3))
    wide = wide.set_column(wide.column_names.index("p"), "p", lists)
    add_predictions(tmp_path, START, [said(0, 4), wide])
    assert read_predictions(tmp_path, build="a").schema == prediction_schema()
    assert read_predictions(tmp_path, build="three").schema == prediction_schema(classes=3)
    found = read_predictions(tmp_path)
    assert found["p"].to_pylist() == [[0.5]] * 4 + [[0.2, 0.3, 0.5]] * 2
    assert keys(read_predictions(tmp_path, columns=["_key"])) == [f"{n:04d}" for n in range(6)]
