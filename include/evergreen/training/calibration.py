"""Probability calibration on a slice of its own: the last training rows by time, which nothing else is fitted to."""

from __future__ import annotations

from typing import Any

from evergreen.errors import EvergreenError
from evergreen.params.training import Calibration

LEAST = 2  # rows of each label in the slice


def slices(calibration: Calibration | None, rows: int) -> tuple[slice, slice]:
    """The rows that the estimator learns from, and those that its probabilities are calibrated on."""
    kept = round(rows * calibration.share) if calibration else 0
    return slice(0, rows - kept), slice(rows - kept, rows)


def calibrated(estimator: Any, calibration: Calibration, table: Any, labels: Any) -> Any:
    """A classifier in the place of the fitted `estimator`, with probabilities that agree with `labels` of `table`.

    Raises EvergreenError where these rows lack a label that the estimator has learned, and leaves out rows of one
    that it has not.
    """
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import KFold

    known = np.isin(labels, estimator.classes_)
    table, labels = table[known], labels[known]
    for label in estimator.classes_:
        if (found := int((labels == label).sum())) < LEAST:
            raise EvergreenError(
                f"training.calibration keeps the last {len(labels)} training rows, of which {found} have the label "
                f"{label:g}; it needs {LEAST}. Raise training.calibration.share, or wait for more labels"
            )
    # The folds change nothing: each "fit" of a frozen estimator is the fitted one.
    model = CalibratedClassifierCV(FrozenEstimator(estimator), method=calibration.method, cv=KFold(2), ensemble=False)
    return model.fit(table, labels)
