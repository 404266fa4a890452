from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from evergreen.errors import ParamsError
from evergreen.params.tables import Table
from evergreen.quality.expressions import without_known_at

DUE = "due at (UTC)"


def table(known_at: str) -> Table:
    columns = {
        "id": {"type": "int64"},
        DUE: {"type": "timestamp"},
        "delay": {"type": "float64"},
        "said": {"type": "string"},
    }
    body = {"source": {"kind": "csv"}, "key": ["id"], "known_at": known_at, "columns": columns}
    return Table.model_validate({**body, "derived": {"said_day": "cast(said as timestamp)", "unused": "id / 0"}})


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
        ("said_day + interval 1 day", [1, 2, 3]),  # a derived column, of which row 1 is an error
    ],
)
def test_known_at_must_be_a_moment_for_each_row(expression: str, missing: list[int]) -> None:
    assert without_known_at(rows(), "jobs", table(expression), "America/New_York").tolist() == missing


def test_an_expression_that_is_no_moment_at_all_is_an_error_of_params() -> None:
    with pytest.raises(ParamsError, match=r"tables\.jobs\.known_at: `said \+ interval 1 day` cannot be computed"):
        without_known_at(rows(), "jobs", table("said + interval 1 day"), "UTC")
