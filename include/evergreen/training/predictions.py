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
    return pa.FixedSizeListArray.from_arrays(pa.array(p.reshape(-1), pa.float64()), p.shape[1])


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
    if not classes:
        return as_array(values, 1)[:, 0]
    made = np.full((len(values), classes), np.nan)
    for place, said in enumerate(values):
        if said is not None and np.ndim(said):
            if len(said) != classes:
                raise ValueError(f"a prediction of {len(said)} classes, where there are {classes}")
            made[place] = said
    return made


def no_column(rows: int, classes: int = 0) -> pa.Array:
    """A column without any prediction."""
    import pyarrow as pa

    return pa.nulls(rows, prediction_type(classes))
