"""Which rows of a file count as corrections of earlier ones in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evergreen.params.tables import Table
from evergreen.quality.repeats import repeats

TABLE = Table.model_validate(
    {
        "source": {"kind": "csv"}, "key": ["id", "team"], "known_at": "due",
        "columns": {"id": {"type": "int64"}, "team": {"type": "string"}, "size $": {"type": "float64"}},
    }
)  # fmt: skip


def found(rows: list[tuple[Any, ...]], bad: tuple[int, ...] = ()) -> list[int]:
    columns = dict(zip(("id", "team", "size $", "_row"), zip(*rows, strict=True), strict=True))
    types = {"id": pa.int64(), "team": pa.string(), "size $": pa.float64(), "_row": pa.int64()}
    data = pa.table({name: pa.array(columns[name], type_) for name, type_ in types.items()})
    admissible = np.ones(len(rows), dtype=bool)
    admissible[list(bad)] = False
    return list(repeats(data, TABLE, admissible))


def row(number: int, size: float | None, id_: int = 1, team: str = "red") -> tuple[Any, ...]:
    return id_, team, size, number


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([1.0, 2.0], [1]),
        ([1.0, 1.0, 1.0], []),
        ([1.0, None, None, 1.0], [1, 3]),  # null is a value like any other; back again is a second correction
        ([None, None], []),
    ],
)
def test_other_values_than_the_row_before_are_a_correction(sizes: list[float | None], expected: list[int]) -> None:
    assert found([row(number, size) for number, size in enumerate(sizes)]) == expected


def test_keys_are_whole_and_what_is_kept_out_corrects_nothing() -> None:
    assert found([row(0, 1.0), row(1, 2.0, team="blue"), row(2, 3.0, id_=2)]) == []
    assert found([row(0, 1.0), row(1, 2.0), row(2, 1.0)], bad=(1,)) == []
