"""The transformers that scikit-learn does not have. Only what makes or loads a Pipeline imports this module.

Each keeps what it has learned in plain attributes, so that equal fits give equal pickles, and works column by column
on contiguous memory: numpy may round the last bit otherwise in a row of a matrix than in the row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import PowerTransformer

RARE = "(rare)"
# Yeo-Johnson makes numbers of at most so many digits; its powers have no end.
LARGEST = 100
# Seconds from 1970 that are still a time: 1,900 years.
FAR = 6e10


def _columns(X: Any) -> list[Any]:
    """The columns of a matrix or a frame as contiguous float64."""
    values = np.asarray(X, dtype="float64")
    return [np.ascontiguousarray(values[:, place]) for place in range(values.shape[1])]


def _texts(X: Any) -> list[Any]:
    """The columns of a matrix or a frame of text as objects: text, or NaN where there is none."""
    frame = pd.DataFrame(X)
    columns = [frame.iloc[:, place].to_numpy(dtype="object", na_value=np.nan) for place in range(frame.shape[1])]
    return [np.where(pd.isna(column), np.nan, column) for column in columns]


class Outliers(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Bounds learned from the rows that are not null; numbers beyond are clipped to them, or marked by a 1."""

    def __init__(
        self, kind: str = "iqr", low: float = 0.01, high: float = 0.99, factor: float = 1.5, mark: bool = False
    ):
        self.kind = kind
        self.low = low
        self.high = high
        self.factor = factor
        self.mark = mark

    def fit(self, X: Any, y: Any = None) -> Self:
        self.bounds_ = [self._bounds(column[~np.isnan(column)]) for column in _columns(X)]
        return self

    def _bounds(self, values: Any) -> tuple[float, float]:
        if not len(values):
            return -np.inf, np.inf
        if self.kind == "quantile":
            low, high = np.quantile(values, [self.low, self.high])
            return float(low), float(high)
        low, high = np.quantile(values, [0.25, 0.75])
        return float(low - self.factor * (high - low)), float(high + self.factor * (high - low))

    def transform(self, X: Any) -> Any:
        pairs = zip(_columns(X), self.bounds_, strict=True)
        if self.mark:
            return np.column_stack(
                [((column < low) | (column > high)).astype("float64") for column, (low, high) in pairs]
            )
        return np.column_stack([np.clip(column, low, high) for column, (low, high) in pairs])


class Bins(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The number of the bin that a number lies in, or a column a bin; null stays null, or has no column.

    scikit-learn's KBinsDiscretizer takes no nulls and no given edges. `edges` is empty where they are to be learned.
    """

    def __init__(self, kind: str = "uniform", bins: int = 5, edges: Sequence[float] = (), one_hot: bool = False):
        self.kind = kind
        self.bins = bins
        self.edges = edges
        self.one_hot = one_hot

    def fit(self, X: Any, y: Any = None) -> Self:
        self.edges_ = [self._edges(column[~np.isnan(column)]) for column in _columns(X)]
        return self

    def _edges(self, values: Any) -> list[float]:
        if len(self.edges) or not len(values):
            return [float(edge) for edge in self.edges]
        if self.kind == "uniform":
            inner = np.linspace(values.min(), values.max(), self.bins + 1)[1:-1]
        else:
            inner = np.quantile(values, np.linspace(0, 1, self.bins + 1)[1:-1])
        return [float(edge) for edge in np.unique(inner)]

    def transform(self, X: Any) -> Any:
        made = []
        for column, edges in zip(_columns(X), self.edges_, strict=True):
            codes = np.searchsorted(edges, column, side="right").astype("float64")
            codes[np.isnan(column)] = np.nan
            made += [(codes == bin_) * 1.0 for bin_ in range(len(edges) + 1)] if self.one_hot else [codes]
        return np.column_stack(made)


class SignedLog(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """log(1 + x), and -log(1 - x) of negative numbers: it keeps the order, and 0, and has no number that it refuses."""

    def fit(self, X: Any, y: Any = None) -> Self:
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X: Any) -> Any:
        return np.column_stack([np.copysign(np.log1p(np.abs(column)), column) for column in _columns(X)])


class YeoJohnson(PowerTransformer):  # type: ignore[misc]  # scikit-learn has no types
    """scikit-learn's, for which no number is too large."""

    def fit(self, X: Any, y: Any = None) -> Self:
        super().fit(np.asfortranarray(X, dtype="float64"))
        return self

    def transform(self, X: Any) -> Any:
        powers = np.array([self.lambdas_, 2 - self.lambdas_])  # of positive and of negative numbers
        high, low = 10.0 ** np.minimum(LARGEST / np.maximum(powers, 1e-9), 300)
        return super().transform(np.clip(np.asfortranarray(X, dtype="float64"), -low, high))

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        return self.fit(X, y).transform(X)


class Levels(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Text to text: rare categories become one, and unknown ones what `unknown` says. Null stays null.

    `count` and `share` are 0 where nothing is rare. `unknown` is None to leave them to the encoding, "missing", or
    the category that they become.
    """

    def __init__(self, count: int = 0, share: float = 0.0, unknown: str | None = None, level: str | None = None):
        self.count = count
        self.share = share
        self.unknown = unknown
        self.level = level

    def fit(self, X: Any, y: Any = None) -> Self:
        self.kept_, self.rare_ = [], []
        for column in _texts(X):
            levels, counts = np.unique(column[~pd.isna(column)].astype("str"), return_counts=True)
            common = (counts >= self.count) & (counts >= self.share * counts.sum())
            self.kept_.append([str(level) for level in levels[common]])
            self.rare_.append([str(level) for level in levels[~common]])
        return self

    def transform(self, X: Any) -> Any:
        columns = zip(_texts(X), self.kept_, self.rare_, strict=True)
        return np.column_stack([self._transform(pd.Series(column), kept, rare) for column, kept, rare in columns])

    def _transform(self, column: pd.Series[Any], kept: list[str], rare: list[str]) -> Any:
        known = dict(zip(kept, kept, strict=True)) | dict.fromkeys(rare, RARE)
        made = column.map(known).astype("object")
        new = (column.notna() & made.isna()).to_numpy()
        values = made.to_numpy(dtype="object", copy=True)
        if self.unknown is None:
            values[new] = column.to_numpy(dtype="object")[new]
        elif self.unknown != "missing":
            # A level that is rare itself has become RARE: by its own name no encoder knows it.
            values[new] = RARE if self.unknown == "rare" else known.get(str(self.level), self.level)
        return values


class Derive(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A frame with further columns, each made of one row's values alone, so that there is nothing to learn.

    `operations` lists (operation, name, features, options) as params/derived.py describes them; times are seconds
    since 1970. What is not finite, such as a ratio over 0, is null.
    """

    def __init__(self, operations: Sequence[tuple[str, str, tuple[str, ...], dict[str, Any]]] = ()):
        self.operations = operations

    def fit(self, X: Any, y: Any = None) -> Self:
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        made = {
            name: _derived(operation, [X[feature] for feature in features], **options)
            for operation, name, features, options in self.operations
        }
        return pd.concat([X, pd.DataFrame(made, index=X.index)], axis=1)


def _derived(operation: str, columns: list[Any], period: float = 1, part: str | None = None, zone: str = "UTC") -> Any:
    if operation == "cross":
        first, second = (column.astype("str") for column in columns)
        return first + " & " + second
    operands = [np.array(column, dtype="float64") for column in columns]
    if part is not None:
        operands = [_calendar(part, operands[0], zone)]
    if operation == "part":
        return operands[0]
    with np.errstate(all="ignore"):
        if operation in ("sin", "cos"):
            angle = operands[0] * (2 * np.pi / period)
            made = np.sin(angle) if operation == "sin" else np.cos(angle)
        else:
            made = {"ratio": np.divide, "product": np.multiply, "difference": np.subtract}[operation](*operands)
    return np.where(np.isfinite(made), made, np.nan)


def _calendar(part: str, seconds: Any, zone: str) -> Any:
    usable = np.abs(seconds) < FAR  # and not NaN
    moments = np.floor(np.where(usable, seconds, 0)).astype("int64").astype("datetime64[s]")
    local = pd.Series(moments).dt.tz_localize("UTC").dt.tz_convert(zone).dt
    found = {"hour": local.hour, "weekday": local.weekday + 1, "month": local.month, "day_of_year": local.dayofyear}
    return np.where(usable, found[part].to_numpy(dtype="float64"), np.nan)
