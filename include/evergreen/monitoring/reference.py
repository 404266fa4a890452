"""The reference: how far a champion's bias swings from window to window while all is well.

It is taken from the out-of-fold predictions of its training rows, cut into windows as long as the monitor's, counted
back from the training cut-off on the local calendar by the moment at which labels became known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from evergreen.clock import back, naive
from evergreen.monitoring.records import Reference
from evergreen.params.prediction import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_reference(
    path: Path,
    cutoff: datetime,
    window: timedelta,
    zone: ZoneInfo,
    min_rows: int,
    kind: Kind = "binary",
    classes: Sequence[str] = (),
) -> Reference:
    """The reference of a bundle's reference.parquet (`_label_first_known_at`, `_label`, `p` are read).

    A bundle of an older version has `_label_known_at` only. Of a multiclass label each class has a bias, and a swing,
    of its own.
    """
    import numpy as np
    import pyarrow.parquet as pq

    from evergreen.training.predictions import as_array

    moments = ("_label_first_known_at", "_label_known_at")
    moment = next(name for name in moments if name in pq.read_schema(path).names)
    table = pq.read_table(path, columns=[moment, "_label", "p"])
    known = table[moment].to_numpy().astype("datetime64[us]")
    p, label = as_array(table["p"], len(classes)), table["_label"].to_numpy().astype(np.float64)
    errors = p - (np.eye(len(classes))[label.astype("int64")] if classes else label)
    return reference_of(known, errors, cutoff, window, zone, min_rows, kind, classes)


def reference_of(
    known: NDArray[np.datetime64],
    errors: NDArray[np.float64],
    cutoff: datetime,
    window: timedelta,
    zone: ZoneInfo,
    min_rows: int,
    kind: Kind = "binary",
    classes: Sequence[str] = (),
) -> Reference:
    """The reference of out-of-fold errors (see `window_biases`), by class where there are `classes`."""
    import numpy as np

    biases = window_biases(known, errors, cutoff, window, zone, min_rows)
    found = Reference(sd=None, windows=len(biases), rows=len(errors), kind=kind)
    if len(biases) < 2:
        return found.model_copy(update={"classes": dict.fromkeys(classes)})
    sd = np.std(biases, axis=0, ddof=1)
    if classes:
        return found.model_copy(update={"classes": dict(zip(classes, sd.tolist(), strict=True))})
    return found.model_copy(update={"sd": float(sd)})


def window_biases(
    known: NDArray[np.datetime64],
    errors: NDArray[np.float64],
    cutoff: datetime,
    window: timedelta,
    zone: ZoneInfo,
    min_rows: int = 1,
) -> list[Any]:
    """The mean of `errors` (p - label, shape (rows,), or (rows, classes)) in each window, newest first.

    `known` holds UTC moments without a zone. Windows are (start, end], as the monitor's. Left out are those with fewer
    than `min_rows`, which the monitor would not judge either, and an oldest one of which more than a seventh is
    missing: the bias of half a window swings more than that of the windows which it would be a measure for.
    """
    import numpy as np

    if not len(known):
        return []
    order = np.argsort(known, kind="stable")
    known, errors = known[order], errors[order]
    oldest = known[0] - np.timedelta64(window // 7)
    biases: list[Any] = []
    end = cutoff
    while _stamp(start := back(end, window, zone)) >= oldest:
        low, high = np.searchsorted(known, [_stamp(start), _stamp(end)], side="right")
        if high - low >= min_rows:
            mean = errors[low:high].mean(axis=0)
            biases.append(float(mean) if errors.ndim == 1 else mean)
        end = start
    return biases


def _stamp(moment: datetime) -> np.datetime64:
    import numpy as np

    return np.datetime64(naive(moment), "us")
