"""How far a window's predictions lie from the out-of-fold ones: context, as the drift of inputs is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_SD = 1e-3  # as Evidently's Wasserstein distance has it; of a reference whose predictions hardly differ


def prediction_shift(path: Path, p: NDArray[np.float64], classes: int = 0) -> float | None:
    """The Wasserstein distance of `p` from the `p` of reference.parquet, in standard deviations of the latter.

    Of a multiclass label it is that of the class that moved the most. None without predictions, or where one is none.
    """
    import numpy as np
    import pyarrow.parquet as pq
    from scipy.stats import wasserstein_distance

    from evergreen.training.predictions import as_array

    reference = as_array(pq.read_table(path, columns=["p"])["p"], classes)
    if not len(p) or not len(reference) or not np.isfinite(p).all():
        return None
    sides = zip(reference.reshape(len(reference), -1).T, p.reshape(len(p), -1).T, strict=True)
    return max(float(wasserstein_distance(then, now)) / max(float(then.std()), LEAST_SD) for then, now in sides)
