"""The evaluation's curves as small CSV files, for `dvc plots` and for figures.

One file a plot. Curves have at most 500 points; floats are written in full, so equal predictions give equal bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.training.metrics import confusion, probabilities

POINTS = 500
HISTOGRAM_BINS = 40

Columns = dict[str, Sequence[Any]]


def curves_of(y: Any, p: Any, threshold: float) -> dict[str, Columns]:
    """roc, pr, histogram and confusion of a binary model; without rows they have no points."""
    usable = probabilities(p)
    both = usable and 0 < y.sum() < len(y)
    return {
        "roc": _roc(y, p) if both else {"fpr": [], "tpr": []},
        "pr": _precision_recall(y, p) if both else {"recall": [], "precision": []},
        "histogram": _histogram(y, p) if usable else {"p": [], "negatives": [], "positives": []},
        "confusion": _confusion(y, p, threshold),
    }


def write_curves(folder: Path, curves: Mapping[str, Columns]) -> None:
    """Write each as a CSV file, and nothing else is left in the folder; what is not defined is empty."""
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
    import csv
    import io

    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerows([tuple(columns), *zip(*columns.values(), strict=True)])
    return stream.getvalue()
