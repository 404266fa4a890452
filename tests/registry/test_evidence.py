"""Evidence is stored under its content, once, and is not believed when it was altered."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import RegistryError
from evergreen.paths import Home, file_sha256
from evergreen.registry.evidence import as_evidence, evidence_rows, evidence_schema, load_evidence, store_evidence
from evergreen.training.evaluation.levels import Levels


def rows(champion: list[float | None] | None = None) -> pa.Table:
    moment = datetime(2013, 3, 4, 12)
    columns = [["b", "a"], *[[moment] * 2] * 3, [1.0, 0.0], [0.25, float("nan")], champion or [None] * 2, [7, 7]]
    return pa.Table.from_arrays(
        [pa.array(c, t) for c, t in zip(columns, evidence_schema().types, strict=True)], schema=evidence_schema()
    )


def test_the_same_rows_in_any_order_are_one_file_named_by_its_hash(tmp_path: Path) -> None:
    home = Home(tmp_path)
    sha256 = store_evidence(home, rows())
    assert store_evidence(home, rows().take([1, 0])) == sha256
    assert [path.name for path in home.evidence.iterdir()] == [f"{sha256}.parquet"]
    assert file_sha256(home.evidence / f"{sha256}.parquet") == sha256
    assert store_evidence(home, rows([0.5, 0.5])) != sha256


def test_it_comes_back_sorted_and_what_is_missing_is_nan(tmp_path: Path) -> None:
    home = Home(tmp_path)
    table = load_evidence(home, store_evidence(home, rows([0.5, None])))
    assert table.column("_key").to_pylist() == ["a", "b"]
    evidence = as_evidence(table)
    np.testing.assert_array_equal(evidence.candidate, [np.nan, 0.25])
    assert evidence.champion is not None
    np.testing.assert_array_equal(evidence.champion, [np.nan, 0.5])
    assert evidence.known_at.dtype == np.dtype("datetime64[us]")
    assert as_evidence(load_evidence(home, store_evidence(home, rows()))).champion is None


def test_levels_and_the_refit_come_back_and_what_has_none_reads_as_before(tmp_path: Path) -> None:
    home, moment = Home(tmp_path), pd.Timestamp("2013-03-04 12:00")
    times = dict.fromkeys(("_time", "_label_known_at", "_label_first_known_at"), moment)
    frame = pd.DataFrame({"_key": list("abc"), **times, "_label": [1.0, 0.0, 1.0]})
    p = np.array([0.5, 0.6, 0.7])
    groups = {
        "segment": {"carrier": Levels(np.array([1, -1, 0]), ("UA", "AA"), 1), "hour": Levels(np.zeros(3, int), ("9",))},
        "sensitive": {"sex": Levels(np.array([0, 1, 1]), ("m", "f"))},
    }
    made = evidence_rows(frame, p, None, "UTC", refit=p / 2, groups=groups)
    assert made.column_names[-4:] == ["p_refit", "segment.carrier", "segment.hour", "sensitive.sex"]
    evidence = as_evidence(load_evidence(home, store_evidence(home, made)))
    np.testing.assert_array_equal(evidence.refit, p / 2)
    assert evidence.segments["carrier"].names == ("AA", "UA")
    np.testing.assert_array_equal(evidence.segments["carrier"].place, [0, -1, 1])
    assert list(evidence.segments) == ["carrier", "hour"]
    np.testing.assert_array_equal(evidence.sensitive["sex"].place, [1, 0, 0])
    old = as_evidence(load_evidence(home, store_evidence(home, rows())))
    assert (old.refit, old.segments, old.sensitive) == (None, {}, {})


def test_missing_or_altered_evidence_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    sha256 = store_evidence(home, rows())
    path = home.evidence / f"{sha256}.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(RegistryError, match=f"{sha256}.parquet was altered"):
        load_evidence(home, sha256)
    path.unlink()
    with pytest.raises(RegistryError, match=f"{sha256}.parquet is missing"):
        load_evidence(home, sha256)
    with pytest.raises(RegistryError, match="no SHA-256"):
        load_evidence(home, "../ledger.db")
    pq.write_table(rows().drop("_label_first_known_at"), path)
    path = path.rename(home.evidence / f"{file_sha256(path)}.parquet")
    with pytest.raises(RegistryError, match="has other columns"):
        load_evidence(home, path.stem)
