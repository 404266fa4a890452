"""The scikit-learn transformers of blocks. Of equal settings they are the same as ever: a default changes no byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError
from evergreen.params.prediction import Kind
from evergreen.params.preprocess import Categorical, GivenBins, IqrOutliers, Numeric
from evergreen.training.preprocess.blocks import Block

if TYPE_CHECKING:
    from evergreen.params.preprocess import Bins, Outliers

MODES = {"mode": "most_frequent"}
FOLDS = 5  # of target encoding


def column_transformer(blocks: Sequence[Block], nulls: bool, kind: Kind, labels: Any, seed: int) -> Any:
    """The unfitted ColumnTransformer; `labels` are those that it will be fitted to, for target encoding's folds.

    `nulls` says that the estimator may be given some.
    """
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer(
        [(block.name, _transformer(block, nulls, kind, labels, seed), list(block.columns)) for block in blocks]
    )


def _transformer(block: Block, nulls: bool, kind: Kind, labels: Any, seed: int) -> Any:
    from sklearn.impute import MissingIndicator

    if block.part == "indicator":
        return MissingIndicator(features="all")
    if isinstance(block.settings, Categorical):
        return _categorical(block, block.settings, nulls, kind, labels, seed)
    if block.part == "mark":
        assert block.settings.outliers is not None
        return _outliers(block.settings.outliers)
    return _numeric(block.settings)


def _numeric(settings: Numeric) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline

    steps: list[tuple[str, Any]] = []
    if settings.outliers is not None and settings.outliers.then == "clip":
        steps.append(("outliers", _outliers(settings.outliers)))
    if settings.impute != "none":
        strategy = MODES.get(settings.impute, settings.impute)
        steps.append(("impute", SimpleImputer(strategy=strategy, fill_value=settings.fill)))
    if settings.bin is not None:
        steps.append(("bin", _bins(settings.bin)))
    if settings.scale != "none" and (settings.bin is None or settings.bin.encode == "ordinal"):
        steps.append(("scale", _scaler(settings.scale)))
    return Pipeline(steps) if steps else "passthrough"


def _outliers(outliers: Outliers) -> Any:
    from evergreen.training.preprocess import transformers

    mark = outliers.then == "mark"
    if isinstance(outliers, IqrOutliers):
        return transformers.Outliers("iqr", factor=outliers.factor, mark=mark)
    return transformers.Outliers("quantile", outliers.low, outliers.high, mark=mark)


def _bins(bins: Bins) -> Any:
    from evergreen.training.preprocess import transformers

    if isinstance(bins, GivenBins):
        return transformers.Bins("edges", edges=bins.edges, one_hot=bins.encode == "one_hot")
    return transformers.Bins(bins.kind, bins.bins, one_hot=bins.encode == "one_hot")


def _scaler(scale: str) -> Any:
    from sklearn import preprocessing

    from evergreen.training.preprocess import transformers

    kinds = {
        "min_max": preprocessing.MinMaxScaler, "standard": preprocessing.StandardScaler,
        "robust": preprocessing.RobustScaler, "log": transformers.SignedLog, "yeo_johnson": transformers.YeoJohnson,
    }  # fmt: skip
    return kinds[scale]()


def _categorical(block: Block, settings: Categorical, nulls: bool, kind: Kind, labels: Any, seed: int) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline

    steps: list[tuple[str, Any]] = []
    if settings.rare is not None or settings.unknown != "ignore":
        steps.append(("levels", _levels(settings)))
    if settings.impute != "none":
        strategy = MODES.get(settings.impute, settings.impute)
        steps.append(("impute", SimpleImputer(strategy=strategy, fill_value=settings.fill)))
    steps.append(("code", _encoder(block, settings, kind, labels, seed)))
    if settings.encode == "ordinal" and not nulls:
        # An estimator that needs numbers without nulls gets a code of its own for a missing or unseen level.
        steps.append(("missing", SimpleImputer(strategy="constant", fill_value=-1.0)))
    return steps[0][1] if len(steps) == 1 else Pipeline(steps)


def _levels(settings: Categorical) -> Any:
    from evergreen.training.preprocess import transformers

    count, share = (settings.rare.count, settings.rare.share) if settings.rare else (None, None)
    unknown = None if settings.unknown == "ignore" else settings.unknown
    return transformers.Levels(count or 0, share or 0.0, unknown, settings.level)


def _encoder(block: Block, settings: Categorical, kind: Kind, labels: Any, seed: int) -> Any:
    import numpy as np
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if settings.encode == "one_hot":
        return OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    if settings.encode == "target":
        return _target_encoder(kind, labels, seed)
    order: Any = [list(settings.order)] * len(block.columns) if settings.order else "auto"
    return OrdinalEncoder(
        categories=order,
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
    )


def _target_encoder(kind: Kind, labels: Any, seed: int) -> Any:
    """Cross-fitted: a training row is encoded by other rows' labels. Folds are as many as the rarest label allows."""
    import numpy as np
    from sklearn.model_selection import KFold, StratifiedKFold
    from sklearn.preprocessing import TargetEncoder

    classes, counts = (None, [len(labels)]) if kind == "regression" else np.unique(labels, return_counts=True)
    folds = min(FOLDS, int(min(counts)))
    if folds < 2:
        rare = f"{len(labels)} row" if classes is None else f"one row of the label {classes[np.argmin(counts)]:g}"
        raise EvergreenError(
            f"target encoding is cross-fitted and needs each label twice; there is {rare}. Wait for more labels, or "
            "set preprocess.categorical.encode to another way"
        )
    splitter = KFold if classes is None else StratifiedKFold
    target = "continuous" if classes is None else "binary" if len(classes) < 3 else "multiclass"
    return TargetEncoder(target_type=target, cv=splitter(folds, shuffle=True, random_state=seed))
