"""Raw Parquet as the declared columns, and those as the pandas frame on which Great Expectations is fast.

A NaN is a missing value: it is read as null, so that it breaks `nulls: never`, passes every other rule, and reaches
no average further on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import LakeError
from evergreen.lake.manifests import DataFile
from evergreen.params.tables import Column, Table
from evergreen.paths import file_sha256
from evergreen.quality.contract import Rule
from evergreen.quality.records import Failure

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class SchemaBroken(Exception):
    """A raw file cannot be read as the declared columns; the text says what was expected and what came."""


def read_raw(lake: Path, file: DataFile, table: Table) -> tuple[pa.Table, list[Failure]]:
    """The file's rows as the declared columns, and a warning for each column that it lacks and may lack.

    A type that was mended in the contract after the file came is cast, where no value changes by it. Raises
    SchemaBroken where one does or a needed column is absent, LakeError where the file is missing or altered.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evergreen.lake.schema import arrow_schema, arrow_type

    path = lake / file.path
    if not path.exists() or file_sha256(path) != file.sha256:
        state = "is missing" if not path.exists() else "is not the file that was committed"
        raise LakeError(f"{path} {state}; restore it from a backup (raw files never change)")
    raw = pq.ParquetFile(path).read()
    arrays, absent = [], []
    for name, column in table.columns.items():
        if name in raw.column_names:
            arrays.append(_as_declared(raw[name], name, column))
        elif column.nulls == "never" or name in table.key:
            raise SchemaBroken(f"expected a column `{name}` ({column.type}); came {', '.join(raw.column_names)}")
        else:
            arrays.append(pa.nulls(raw.num_rows, arrow_type(column.type)))
            absent.append(_absent(name, raw.num_rows))
    return pa.table(arrays, schema=arrow_schema(table.columns)), absent


def _as_declared(values: pa.ChunkedArray, name: str, column: Column) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    from evergreen.lake.schema import arrow_type

    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    wanted = arrow_type(column.type)
    try:
        return values if values.type == wanted else values.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SchemaBroken(f"expected `{name}` as {column.type}; came {values.type} ({reason})") from None


def _absent(name: str, rows: int) -> Failure:
    return Failure(
        column=name, rule="schema", severity="warning", count=rows, share=float(rows > 0),
        expected="a column of the file; it is absent and was filled with nulls",
    )  # fmt: skip


def to_frame(data: pa.Table, table: Table, rules: Sequence[Rule]) -> pd.DataFrame:
    """The columns that `rules` look at, as float64, category and datetime64; its index is the row number."""
    import pandas as pd

    kinds: dict[str, set[str]] = {}
    for rule in rules:
        if rule.column is not None:
            kinds.setdefault(rule.column, set()).add(rule.kind)
    series = {name: _series(data[name], table.columns[name], kinds[name]) for name in kinds}
    return pd.DataFrame(series, index=pd.RangeIndex(data.num_rows))


def _series(values: pa.ChunkedArray, column: Column, kinds: set[str]) -> Any:
    import pyarrow as pa

    exact = column.type == "int64" and "in" in kinds and "between" not in kinds
    if column.type in ("int64", "float64") and not exact:
        # An int64 without nulls too: a row must not be judged by whether another row of its batch has a null.
        return values.cast(pa.float64(), safe=False).to_pandas()
    if column.type in ("timestamp", "date") and "in" not in kinds:
        return values.cast(pa.timestamp("us")).to_pandas()
    if not exact:
        values = values.cast(pa.string())
    return values.combine_chunks().dictionary_encode().to_pandas()
