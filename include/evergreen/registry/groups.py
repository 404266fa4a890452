"""The groups of the judged rows: segments that no candidate may be ruinous for, and those that it is to be fair to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.params import Params

if TYPE_CHECKING:
    import pandas as pd

    from evergreen.training.evaluation.levels import Levels


def segments_of(params: Params, frame: pd.DataFrame) -> dict[str, Levels]:
    """The levels of each column of `evaluation.segments`, cut as `evaluate` cuts them; null: the small categories."""
    from evergreen.params.evaluation import Cut
    from evergreen.training.evaluation.levels import levels_of
    from evergreen.training.evaluation.segments import FEW_LEVELS

    categorical, cuts = params.features.categorical, params.evaluation.segments
    if cuts is None:
        cuts = {name: Cut() for name in categorical if frame[name].nunique() <= FEW_LEVELS}
    return {name: levels_of(frame[name], name in categorical, cut) for name, cut in cuts.items()}


def sensitive_of(params: Params, frame: pd.DataFrame) -> dict[str, Levels]:
    """The levels of each column of `evaluation.sensitive`."""
    from evergreen.training.evaluation.levels import levels_of

    categorical = params.features.categorical
    return {name: levels_of(frame[name], name in categorical) for name in params.evaluation.sensitive}
