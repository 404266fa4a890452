"""The evaluation's curves as small CSV files, for `dvc plots` and for figures.

One file a plot: roc, pr, calibration, histogram, confusion. Curves have at most 500 points; floats are written in
full, so equal predictions give equal bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.training.metrics import confusion

POINTS = 500
CALIBRATION_BINS = 10
HISTOGRAM_BINS = 40

Columns = dict[str, Sequence[Any]]


def write_curves(folder: Path, y: Any, p: Any, threshold: float) -> None:
    """Write every curve of the predictions `p` of the outcomes `y`; without rows the files hold their header only."""
    both = 0 < y.sum() < len(y)
    curves: dict[str, Columns] = {
        "roc": _roc(y, p) if both else {"fpr": [], "tpr": []},
        "pr": _precision_recall(y, p) if both else {"recall": [], "precision": []},
        "calibration": _calibration(y, p),
        "histogram": _histogram(y, p),
        "confusion": _confusion(y, p, threshold),
    }
    shutil.rmtree(folder, ignore_errors=True)
    for name, columns in curves.items():
        write_atomic(folder / f"{name}.csv", _csv(columns))
        point("evaluate.curve")


def _roc(y: Any, p: Any) -> Columns:
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(y, p)
    points = _thin(len(fpr))
    return {"fpr": fpr[points].tolist(), "tpr": tpr[points].tolist()}


def _precision_recall(y: Any, p: Any) -> Columns:
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(y, p)
    points = _thin(len(recall))
    return {"recall": recall[points].tolist(), "precision": precision[points].tolist()}


def _calibration(y: Any, p: Any) -> Columns:
    """Rows in order of p, cut into ten groups of equal size: each one's mean p beside its rate of positives."""
    import numpy as np

    order = np.argsort(p, kind="stable")
    groups = [group for group in np.array_split(order, CALIBRATION_BINS) if len(group)]
    return {
        "mean_p": [float(p[group].mean()) for group in groups],
        "rate": [float(y[group].mean()) for group in groups],
        "rows": [len(group) for group in groups],
    }


def _histogram(y: Any, p: Any) -> Columns:
    import numpy as np

    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    return {
        "p": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "negatives": np.histogram(p[y == 0], edges)[0].tolist(),
        "positives": np.histogram(p[y == 1], edges)[0].tolist(),
    }


def _confusion(y: Any, p: Any, threshold: float) -> Columns:
    cells = confusion(y, p, threshold)
    names = {"tp": "true positive", "fp": "false positive", "fn": "false negative", "tn": "true negative"}
    return {"cell": [names[cell] for cell in cells], "rows": list(cells.values())}


def _thin(length: int) -> Any:
    """Places of at most POINTS evenly spread points, both ends among them."""
    import numpy as np

    return np.unique(np.linspace(0, length - 1, min(length, POINTS)).round().astype("int64"))


def _csv(columns: Columns) -> str:
    rows = zip(*columns.values(), strict=True)
    return "".join(",".join(map(str, row)) + "\n" for row in [tuple(columns), *rows])
