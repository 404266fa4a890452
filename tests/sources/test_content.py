from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest

from evergreen.sources.content import Content

COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "int": (pa.int64(), [1, None, 0, -3]),
    "float": (pa.float64(), [1.5, None, 0.0, -0.0]),
    "bool": (pa.bool_(), [True, None, False, True]),
    "text": (pa.string(), ["ab", None, "", "c"]),
    "at": (pa.timestamp("us"), [datetime(2013, 1, 1), None, datetime(1970, 1, 1), datetime(1960, 1, 1)]),
    "on": (pa.date32(), [date(2013, 1, 1), None, date(1970, 1, 1), date(1960, 1, 1)]),
}
BATCH = pa.record_batch({name: pa.array(values, type_) for name, (type_, values) in COLUMNS.items()})


def of(*batches: pa.RecordBatch) -> str:
    content = Content(BATCH.schema)
    for batch in batches:
        content.add(batch)
    return content.hexdigest()


def test_batches_may_be_cut_anywhere() -> None:
    whole = of(BATCH)
    for cut in range(5):
        assert of(BATCH.slice(0, cut), BATCH.slice(cut)) == whole
    assert of(BATCH.take(pa.array([0, 1, 2, 3]))) == whole


@pytest.mark.parametrize("name", COLUMNS)
def test_every_value_and_its_place_count(name: str) -> None:
    type_, values = COLUMNS[name]
    others = [
        [*values[:2], None, values[3]],
        [values[0], values[2], *values[2:]],
        values[::-1],
    ]
    index = BATCH.schema.get_field_index(name)
    hashes = [of(BATCH.set_column(index, name, pa.array(other, type_))) for other in [values, *others]]
    assert len(set(hashes)) == 4


def test_text_does_not_run_from_one_value_into_the_next() -> None:
    schema = pa.schema([("text", pa.string())])
    one, other = Content(schema), Content(schema)
    one.add(pa.record_batch({"text": ["ab", "c"]}))
    other.add(pa.record_batch({"text": ["a", "bc"]}))
    assert one.hexdigest() != other.hexdigest()
