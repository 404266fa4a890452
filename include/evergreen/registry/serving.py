"""What a stored model is like to serve: the size of its file, and how long one row takes it on this machine, now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.registry.gate import Latency

if TYPE_CHECKING:
    import pandas as pd

PREDICTIONS = 200  # of each model
LEAST, SECONDS = 20, 1.0  # a slow model is asked at least so often, and no longer than that


def size_of(model: Path) -> int:
    """Bytes of a model's file."""
    return model.stat().st_size


def latencies(models: Sequence[tuple[Any, pd.DataFrame]]) -> list[Latency]:
    """Milliseconds that one row takes each of the models, each on rows of its own, at least one.

    They take turns, so that what else the machine does in the meantime slows all of them.
    """
    import time

    import numpy as np

    from evergreen.training.artifacts import predict

    rows = [[frame.iloc[[place]] for place in _spread(len(frame))] for _, frame in models]
    for (model, _), own in zip(models, rows, strict=True):
        predict(model, own[0])  # the first one loads what the others find loaded
    taken: list[list[float]] = [[] for _ in models]
    begin = time.perf_counter()
    for turn in range(PREDICTIONS):
        if turn >= LEAST and time.perf_counter() - begin > SECONDS:
            break
        for place, (model, _) in enumerate(models):
            start = time.perf_counter()
            predict(model, rows[place][turn % len(rows[place])])
            taken[place].append(1000 * (time.perf_counter() - start))
    return [
        Latency(median=float(np.median(one)), p95=float(np.quantile(one, 0.95)), predictions=len(one)) for one in taken
    ]


def _spread(count: int) -> list[int]:
    """At most PREDICTIONS places, evenly spread."""
    import numpy as np

    return [int(place) for place in np.unique(np.linspace(0, count - 1, PREDICTIONS).astype("int64"))]
