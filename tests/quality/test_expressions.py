from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evergreen.errors import ParamsError
from evergreen.params.tables import Table
from evergreen.quality.expressions import repeated, without_known_at

DUE = "due at (UTC)"


def table(known_at: str) -> Table:
    columns = {
        "id": {"type": "int64"},
        DUE: {"type": "timestamp"},
        "delay": {"type": "float64"},
        "said": {"type": "string"},
    }
    return Table.model_validate({"source": {"kind": "csv"}, "key": ["id"], "known_at": known_at, "columns": columns})


def rows() -> pa.Table:
    day = datetime(2013, 1, 1)
    return pa.table(
        {
            "id": [0, 1, 2, 3],
            DUE: pa.array([day, None, day, day], pa.timestamp("us")),
            "delay": [1.0, 1.0, 1e300, None],
            "said": ["2013-01-01", "soon", None, "infinity"],
            "_row": [0, 1, 2, 3],
        }
    )


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        (f'"{DUE}"', [1]),
        (f'"{DUE}" + delay * interval 1 minute', [1, 2, 3]),  # 2 overflows
        ("cast(said as timestamp)", [1, 2, 3]),  # 3 is infinite
        ("timestamp '2012-11-01'", []),
        (f'local("{DUE}")', [1]),
    ],
)
def test_known_at_must_be_a_moment_for_each_row(expression: str, missing: list[int]) -> None:
    assert without_known_at(rows(), "jobs", table(expression), "America/New_York").tolist() == missing


def test_an_expression_that_is_no_moment_at_all_is_an_error_of_params() -> None:
    with pytest.raises(ParamsError, match=r"tables\.jobs\.known_at: `said \+ interval 1 day` cannot be computed"):
        without_known_at(rows(), "jobs", table("said + interval 1 day"), "UTC")


def serials(keys: list[int], values: list[str | None]) -> pa.Table:
    return pa.table({"id": keys, "serial no.": pa.array(values, pa.string()), "_row": range(len(keys))})


def losers(data: pa.Table, earlier: list[Path] = [], admissible: list[bool] | None = None) -> list[int]:  # noqa: B006
    good = np.array(admissible) if admissible else np.ones(len(data), dtype=bool)
    return repeated(data, "serial no.", ["id"], good, earlier).tolist()


def test_the_first_key_keeps_a_value_and_its_corrections_may_repeat_it() -> None:
    assert losers(serials([1, 2, 1, 3, 4, 5], ["a", "a", "a", None, None, "b"])) == [1]


def test_a_bad_row_takes_no_value_from_a_good_one() -> None:
    assert losers(serials([1, 2], ["a", "a"]), admissible=[False, True]) == [0]


def test_earlier_files_have_the_first_claim_in_their_order(tmp_path: Path) -> None:
    paths = [tmp_path / "it's z.parquet", tmp_path / "a.parquet", tmp_path / "older.parquet"]
    pq.write_table(serials([7], ["a"]), paths[0])
    pq.write_table(serials([8, 9], ["a", "b"]), paths[1])
    pq.write_table(pa.table({"id": [1], "_row": [0]}), paths[2])  # from before the column was declared
    assert losers(serials([7, 8, 9, 1], ["a", "a", "b", "c"]), paths) == [1]


def test_only_files_without_the_column_came_before(tmp_path: Path) -> None:
    path = tmp_path / "older.parquet"
    pq.write_table(pa.table({"id": [1], "_row": [0]}), path)
    assert losers(serials([1, 2], ["a", "a"]), [path]) == [1]
