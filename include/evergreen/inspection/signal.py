"""How much one column alone says about a label: by its order, by its values, by its gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Floats = np.ndarray[Any, Any]

LEAST = 20  # rows of either class; fewer say nothing
_BINS, _FOLDS = 64, 5


def area(label: Floats, score: Floats) -> float:
    """ROC AUC of `score` for a label of 0 and 1; ties count half. 0.5 where a class is absent."""
    import numpy as np

    positive = label > 0.5
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return 0.5
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = count.cumsum() - (count - 1) / 2
    return float((rank[place][positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def strength(label: Floats, values: pa.ChunkedArray) -> float:
    """The best ROC AUC of one column alone, at least 0.5, on the rows that have a value.

    Numbers and moments by their order either way, and in quantiles; everything by the label's rate per value, which
    is taken from other rows than it is judged on. 0.5 where a class has fewer than LEAST rows.
    """
    known = values.is_valid().to_numpy(zero_copy_only=False)
    label = label[known]
    if min(label.sum(), len(label) - label.sum()) < LEAST:
        return 0.5
    found = codes(values.drop_null())
    if found is None:
        return 0.5
    if isinstance(found, tuple):  # ordered
        score, groups = found
        forward = area(label, score)
        return max(forward, 1 - forward, _by_rate(label, groups))
    return max(0.5, _by_rate(label, found))


def agreement(label: Floats, values: pa.ChunkedArray) -> tuple[float, float]:
    """How one column alone agrees with a number, on the rows that have a value: two figures from 0 to 1.

    The rank correlation, either way, where the column has an order; and the share of the label's variance that its mean
    per value (or quantile) explains, taken from other rows than it is judged on. 0 of fewer than 2 * LEAST rows.
    """
    import numpy as np
    from scipy.stats import rankdata

    known = values.is_valid().to_numpy(zero_copy_only=False)
    label = label[known]
    found = codes(values.drop_null()) if len(label) >= 2 * LEAST and np.ptp(label) else None
    if found is None:
        return 0.0, 0.0
    score, groups = found if isinstance(found, tuple) else (None, found)
    ranks = 0.0
    if score is not None and np.ptp(score):
        ranks = abs(float(np.corrcoef(rankdata(score), rankdata(label))[0, 1]))
    return ranks, _by_mean(label, groups)


def codes(values: pa.ChunkedArray) -> Floats | tuple[Floats, Floats] | None:
    """A column without nulls as a group per value; with a score before it where there is an order; None of lists."""
    import numpy as np
    import pyarrow as pa

    type_ = values.type
    if pa.types.is_boolean(type_) or pa.types.is_decimal(type_):
        values = values.cast(pa.int8() if pa.types.is_boolean(type_) else pa.float64())
    if pa.types.is_temporal(type_):
        values = values.cast(pa.int32() if type_.bit_width == 32 else pa.int64()).cast(pa.int64())
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        score = values.to_numpy().astype("float64")
        distinct, groups = np.unique(score, return_inverse=True)
        if len(distinct) > _BINS:
            edges = np.unique(np.quantile(score, np.linspace(0, 1, _BINS + 1)[1:-1]))
            groups = np.searchsorted(edges, score, side="right")
        return score, groups
    if pa.types.is_nested(values.type):
        return None
    groups = values.combine_chunks().dictionary_encode().indices.to_numpy()
    return np.asarray(groups, dtype="int64")


def _by_rate(label: Floats, groups: Floats) -> float:
    """AUC of the label's rate in each group; the rates of a fold come from the other folds, the areas are averaged."""
    import numpy as np

    fold = np.random.default_rng(0).integers(_FOLDS, size=len(label))
    size = int(groups.max()) + 1
    areas, weights = [], []
    for number in range(_FOLDS):
        inside, others = fold == number, fold != number
        if len(np.unique(label[inside])) < 2:
            continue
        base = label[others].mean()
        count = np.bincount(groups[others], minlength=size)
        total = np.bincount(groups[others], weights=label[others], minlength=size)
        areas.append(area(label[inside], ((total + base) / (count + 1))[groups[inside]]))
        weights.append(inside.sum())
    return float(np.average(areas, weights=weights)) if areas else 0.5


def _by_mean(label: Floats, groups: Floats) -> float:
    """1 - squared error / variance of the label's mean in each group; the means of a fold come from the other folds."""
    import numpy as np

    fold = np.random.default_rng(0).integers(_FOLDS, size=len(label))
    size, said = int(groups.max()) + 1, np.empty(len(label))
    for number in range(_FOLDS):
        inside, others = fold == number, fold != number
        base = label[others].mean() if others.any() else 0.0
        count = np.bincount(groups[others], minlength=size)
        total = np.bincount(groups[others], weights=label[others], minlength=size)
        said[inside] = np.where(count, total / np.maximum(count, 1), base)[groups[inside]]
    return max(0.0, 1 - float(((label - said) ** 2).mean() / label.var()))


def same_rows(one: Floats, other: Floats) -> float:
    """How well one mask tells another: the lower of the two shares that it gets right; 0 where a side is too small."""
    if min(one.sum(), (~one).sum(), other.sum(), (~other).sum()) < LEAST:
        return 0.0
    return float(min(one[other].mean(), (~one)[~other].mean()))


def only_among(part: Floats, whole: Floats) -> bool:
    """Whether every row of `part` is one of `whole`, and that by chance would be one time in a million at most."""
    import numpy as np

    count, rate = int(part.sum()), float(whole.mean())
    return count >= LEAST and 0 < rate < 1 and bool(whole[part].all()) and count * np.log10(rate) < -6
