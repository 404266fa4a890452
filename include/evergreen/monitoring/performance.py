"""Predictions against labels, by the definitions of scikit-learn, for any number of rows and classes present."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evergreen.monitoring.records import ClassShare, Performance
from evergreen.params.prediction import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def performance(
    labels: NDArray[np.float64], p: NDArray[np.float64], kind: Kind = "binary", classes: Sequence[str] = ()
) -> Performance:
    """Judge predictions `p` against `labels`, both of shape (rows,); of a multiclass label `p` is (rows, classes).

    Probabilities are kept 1e-15 away from 0 and 1 in the log-loss, as scikit-learn does. A NaN among them makes every
    number that it enters unknown.
    """
    if kind == "regression":
        return _of_values(labels, p)
    return _of_classes(labels, p, classes) if kind == "multiclass" else _of_one_class(labels, p)


def _of_one_class(labels: NDArray[np.float64], p: NDArray[np.float64]) -> Performance:
    import numpy as np

    rows, positives = len(labels), int(labels.sum())
    if not rows:
        return _nothing("binary", positives=0)
    rate, mean_p = positives / rows, float(p.mean())
    clipped = np.clip(p, 1e-15, 1 - 1e-15)
    loss = float(-(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped)).mean())
    both = 0 < positives < rows
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)) if both else 0.0
    return Performance(
        rows=rows,
        positives=positives,
        rate=rate,
        mean_p=mean_p,
        bias=mean_p - rate,
        log_loss=loss,
        skill=1 - loss / float(entropy) if both else None,
        brier=float(((p - labels) ** 2).mean()),
        roc_auc=_roc_auc(labels, p) if both and np.isfinite(p).all() else None,
    )


def _of_classes(labels: NDArray[np.float64], p: NDArray[np.float64], classes: Sequence[str]) -> Performance:
    """The bias is that of the class whose share is furthest off."""
    import numpy as np

    if not len(labels):
        return _nothing("multiclass")
    place = labels.astype("int64")
    actual = np.eye(len(classes))[place]
    shares, means = actual.mean(axis=0), p.mean(axis=0)
    loss = float(-np.log(np.clip(p[np.arange(len(p)), place], 1e-15, 1.0)).mean())
    present = shares[shares > 0]
    entropy = float(-(present * np.log(present)).sum())
    found = {
        name: ClassShare(rate=share, mean_p=mean, bias=mean - share)
        for name, share, mean in zip(classes, shares.tolist(), means.tolist(), strict=True)
    }
    known = bool(np.isfinite(p).all())
    return Performance(
        kind="multiclass", rows=len(labels), positives=None, rate=None, mean_p=None,
        bias=max((one.bias for one in found.values() if one.bias is not None), key=abs) if known else None,
        log_loss=loss if known else None,
        skill=1 - loss / entropy if known and len(present) > 1 else None,
        brier=float(((p - actual) ** 2).sum(axis=1).mean()),
        accuracy=float((p.argmax(axis=1) == place).mean()) if known else None,
        roc_auc=None,
        classes=found,
    )  # fmt: skip


def _of_values(labels: NDArray[np.float64], p: NDArray[np.float64]) -> Performance:
    """The skill is that of squared errors against the window's own mean.

    By absolute errors against its median a model that predicts means, as most do, would seem to have none where
    outcomes are skewed.
    """
    import numpy as np

    if not len(labels):
        return _nothing("regression")
    errors, spread = p - labels, float(labels.var())
    square = float((errors**2).mean())
    return Performance(
        kind="regression", rows=len(labels), positives=None, rate=float(labels.mean()), mean_p=float(p.mean()),
        bias=float(errors.mean()), mae=float(np.abs(errors).mean()), rmse=float(np.sqrt(square)),
        skill=1 - square / spread if spread > 0 else None,
        log_loss=None, brier=None, roc_auc=None,
    )  # fmt: skip


def _nothing(kind: Kind, **known: Any) -> Performance:
    unknown = dict.fromkeys(("positives", "rate", "mean_p", "bias", "log_loss", "skill", "brier", "roc_auc"))
    return Performance(kind=kind, rows=0, **{**unknown, **known})


def _roc_auc(labels: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Mann-Whitney's U over the pairs of a positive and a negative; equal scores count half."""
    import numpy as np

    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = labels.sum()
    u = ranks[labels == 1].sum() - positives * (positives + 1) / 2
    return float(u / (positives * (len(labels) - positives)))
