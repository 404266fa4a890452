"""Predictions as arrays and as a column: a number a row, or of a multiclass label a list with a number a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.lake.schema import prediction_type

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa


def as_column(p: Any) -> pa.Array:
    """Predictions (rows,) or (rows, classes) as a column of `lake.schema.prediction_type`."""
    import numpy as np
    import pyarrow as pa

    p = np.ascontiguousarray(p, dtype="float64")
    if p.ndim == 1:
        return pa.array(p, pa.float64())
    ends = np.arange(len(p) + 1, dtype="int32") * p.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(p.reshape(-1)), type=prediction_type(p.shape[1]))


def as_array(column: pa.Array | pa.ChunkedArray | pd.Series[Any], classes: int = 0) -> np.ndarray:
    """The inverse, (rows,) or (rows, `classes`); a row without a prediction is NaN throughout.

    Takes a column of a table or of a frame; a number may stand in a list of its own, as beside lists of other builds.
    Raises ValueError where a row holds another number of classes.
    """
    import numpy as np
    import pandas as pd

    values = column if isinstance(column, pd.Series) else column.to_pandas()
    if not classes and values.dtype != object:
        return np.asarray(values, dtype="float64")
    made = np.full((len(values), classes or 1), np.nan)
    for place, said in enumerate(values):
        if said is not None and np.ndim(said):
            if len(said) != made.shape[1]:
                raise ValueError(f"a prediction of {len(said)} numbers, where there are {made.shape[1]}")
            made[place] = said
    return made if classes else made[:, 0]


def classes_of(column: pa.ChunkedArray) -> int:
    """How many classes a column's predictions list; 0 where they are numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_list(column.type):
        return 0
    return int(pc.max(pc.list_value_length(column)).as_py() or 1)


def no_column(rows: int, classes: int = 0) -> pa.Array:
    """A column without any prediction."""
    import pyarrow as pa

    return pa.nulls(rows, prediction_type(classes))
