"""Feature tables as pandas frames, in the one form that every Pipeline sees, in training and in serving."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.clock import naive
from evergreen.errors import EvergreenError
from evergreen.params import Params

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

META = ("_key", "_time", "_label", "_label_known_at", "_label_first_known_at")


def read_frame(path: Path, columns: Iterable[str], filters: Any = None) -> pd.DataFrame:
    """Read `columns` of a Parquet file, rows in file order; `filters` are pyarrow's.

    Raises EvergreenError where the file or a column is missing.
    """
    import pyarrow.parquet as pq

    if not path.exists():
        raise EvergreenError(f"{path} is missing; make it with `dvc repro`, or `evergreen features` for features alone")
    wanted = list(columns)
    present = set(pq.read_schema(path).names)
    if absent := [name for name in wanted if name not in present]:
        raise EvergreenError(
            f"{path} has no column {', '.join(absent)}: it was made with other params; run `dvc repro`"
        )
    table = pq.read_table(path, columns=wanted, filters=filters, use_threads=False)
    return table.to_pandas(use_threads=False)  # type: ignore[no-any-return]


def read_features(path: Path, params: Params, filters: Any = None) -> pd.DataFrame:
    """The whole feature table: `_key`, `_time`, the features, and the label with its two times."""
    return read_frame(path, [*META[:2], *params.features.names(), *META[2:]], filters)


def read_window(path: Path, params: Params, judge_from: datetime, cutoff: datetime) -> pd.DataFrame:
    """The gate window of a feature table: no label of its rows was known by `judge_from`, and one is by `cutoff`."""
    bounds = [("_label_first_known_at", ">", naive(judge_from)), ("_label_known_at", "<=", naive(cutoff))]
    rows = read_features(path, params, bounds)
    return rows[rows["_label"].notna()].reset_index(drop=True)


def inputs(frame: pd.DataFrame, names: Sequence[str], categorical: Collection[str]) -> pd.DataFrame:
    """The features alone: text for categories, float64 for the rest, whatever types they came in.

    An infinite number (a ratio over zero) counts as missing: estimators refuse it, and one such row must not stop
    the scoring of all the others. Raises EvergreenError for a missing column.
    """
    import numpy as np
    import pandas as pd

    if absent := [name for name in names if name not in frame.columns]:
        raise EvergreenError(f"the rows to predict have no column {', '.join(absent)}, which the model was trained on")
    columns: dict[str, Any] = {}
    for name in names:
        if name in categorical:
            columns[name] = frame[name].astype("str")
        else:
            values = frame[name].to_numpy(dtype="float64", na_value=np.nan)
            columns[name] = np.where(np.isinf(values), np.nan, values)
    return pd.DataFrame(columns, index=frame.index, columns=list(names))


def outcomes(rows: pd.DataFrame) -> pa.Table:
    """`_key`, `_time`, the label's two times and `_label` of `rows`, to which predictions are appended."""
    import pyarrow as pa

    moment = pa.timestamp("us")
    times = {"_time": moment, "_label_known_at": moment, "_label_first_known_at": moment}
    types = {"_key": pa.string(), **times, "_label": pa.float64()}
    return pa.Table.from_pandas(rows[list(types)], schema=pa.schema(types), preserve_index=False)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a build's Parquet atomically, with the fixed writer settings and nothing of the writer's own."""
    import io

    import pyarrow.parquet as pq

    from evergreen.files import write_atomic
    from evergreen.lake.schema import ROW_GROUP, WRITER

    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), buffer, row_group_size=ROW_GROUP, **WRITER)
    write_atomic(path, buffer.getvalue())
