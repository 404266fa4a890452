from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evergreen.params.tables import Table
from evergreen.quality.owners import Owners

TABLE = Table.model_validate(
    {
        "source": {"kind": "csv"}, "key": ["id"], "known_at": "timestamp '2013-01-01'",
        "columns": {"id": {"type": "int64"}, "serial no.": {"type": "string", "unique": True}},
    }
)  # fmt: skip


def serials(keys: list[int], values: list[str | None]) -> pa.Table:
    return pa.table({"id": keys, "serial no.": pa.array(values, pa.string()), "_row": range(len(keys))})


def losers(
    data: pa.Table, others: list[tuple[int, Path]] = [], admissible: list[bool] | None = None, place: int = 5  # noqa: B006
) -> list[int]:  # fmt: skip
    good = np.array(admissible) if admissible else np.ones(len(data), dtype=bool)
    return Owners(TABLE, data, others).broken("serial no.", data, place, good).tolist()


def test_the_first_key_keeps_a_value_and_its_corrections_may_repeat_it() -> None:
    assert losers(serials([1, 2, 1, 3, 4, 5], ["a", "a", "a", None, None, "b"])) == [1]


def test_a_bad_row_takes_no_value_from_a_good_one() -> None:
    assert losers(serials([1, 2], ["a", "a"]), admissible=[False, True]) == [0]


def test_earlier_files_have_the_first_claim_in_their_order_and_later_ones_none(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("it's z.parquet", "a.parquet", "older.parquet", "later.parquet")]
    pq.write_table(serials([7], ["a"]), paths[0])
    pq.write_table(serials([8, 9], ["a", "b"]), paths[1])
    pq.write_table(pa.table({"id": [1], "_row": [0]}), paths[2])  # from before the column was declared
    pq.write_table(serials([6], ["c"]), paths[3])
    others = [(0, paths[0]), (1, paths[1]), (2, paths[2]), (9, paths[3])]
    assert losers(serials([7, 8, 9, 1], ["a", "a", "b", "c"]), others) == [1]


def test_only_files_without_the_column_came_before(tmp_path: Path) -> None:
    path = tmp_path / "older.parquet"
    pq.write_table(pa.table({"id": [1], "_row": [0]}), path)
    assert losers(serials([1, 2], ["a", "a"]), [(0, path)]) == [1]


def test_values_that_were_written_with_another_type_still_count(tmp_path: Path) -> None:
    path = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"id": [1], "serial no.": [17], "_row": [0]}), path)
    assert losers(serials([1, 2], ["17", "17"]), [(0, path)]) == [1]


def test_a_file_of_the_chunk_takes_its_values_from_those_after_it() -> None:
    first, second = serials([1], ["a"]), serials([2, 1], ["a", "a"])
    owners = Owners(TABLE, pa.concat_tables([first, second]), [])
    owners.take(first, 3)
    every = np.ones(2, dtype=bool)
    assert owners.broken("serial no.", second, 4, every).tolist() == [0]
    assert owners.broken("serial no.", second, 2, every).tolist() == [1]  # before it, its own first key counts
