from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import EvergreenError
from evergreen.training.frame import inputs, outcomes, read_features, read_frame, write_table
from tests.synthetic import TIMES, write_features


def test_features_are_read_in_their_order(make_project) -> None:
    project = make_project()
    written = write_features(project)
    frame = read_features(project.build / "features.parquet", project.params)
    assert list(frame) == ["_key", "_time", "team", "size", "hour", "team_late_3d", "_label", *TIMES]
    pd.testing.assert_frame_equal(frame, written, check_dtype=False)


def test_missing_file_and_column_say_what_to_run(make_project) -> None:
    project = make_project()
    with pytest.raises(EvergreenError, match=r"features\.parquet is missing; make it with `dvc repro`"):
        read_features(project.build / "features.parquet", project.params)
    write_features(project)
    with pytest.raises(EvergreenError, match="no column speed: it was made with other params"):
        read_frame(project.build / "features.parquet", ["size", "speed"])


def test_inputs_have_one_form_whatever_came_in() -> None:
    frame = pd.DataFrame(
        {
            "number": pd.Series([1, None, 3], dtype="Int64"),
            "flag": [True, False, True],
            "ratio": [np.inf, -np.inf, 0.5],
            "level": pd.Series(["a", None, "b"], dtype="category"),
            "code": [1, 2, 3],
            "extra": 0,
        }
    )
    made = inputs(frame, ["ratio", "number", "flag", "level", "code"], {"level", "code"})
    assert list(made) == ["ratio", "number", "flag", "level", "code"]
    assert [str(kind) for kind in made.dtypes] == ["float64"] * 3 + ["str"] * 2
    np.testing.assert_array_equal(made["number"], [1, np.nan, 3])
    np.testing.assert_array_equal(made["ratio"], [np.nan, np.nan, 0.5])
    assert made["level"].isna().tolist() == [False, True, False]
    assert made["code"].tolist() == ["1", "2", "3"]
    with pytest.raises(EvergreenError, match="no column speed"):
        inputs(frame, ["number", "speed"], set())


def test_tables_of_equal_rows_have_equal_bytes(tmp_path: Path, make_project) -> None:
    frame = write_features(make_project())
    table = outcomes(frame)
    write_table(table, tmp_path / "a.parquet")
    write_table(table.replace_schema_metadata({"made": "by another version"}), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    back = pq.read_table(tmp_path / "a.parquet")
    assert back.schema.types == [pa.string(), *[pa.timestamp("us")] * 3, pa.float64()]
    assert back["_label"].null_count == frame["_label"].isna().sum()
