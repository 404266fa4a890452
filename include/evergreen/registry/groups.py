"""The groups of the judged rows: segments that no candidate may be ruinous for, and those that it is to be fair to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evergreen.params import Params

if TYPE_CHECKING:
    import pandas as pd

    from evergreen.training.evaluation.levels import Levels


def groups_of(params: Params, frame: pd.DataFrame) -> dict[str, dict[str, Levels]]:
    """Both, as the evidence has them."""
    return {"segment": segments_of(params, frame), "sensitive": sensitive_of(params, frame)}


def segments_of(params: Params, frame: pd.DataFrame) -> dict[str, Levels]:
    """The levels of each column of `evaluation.segments`, cut as `evaluate` cuts them; null: the small categories."""
    from evergreen.params.evaluation import Cut
    from evergreen.training.evaluation.levels import levels_of
    from evergreen.training.evaluation.segments import FEW_LEVELS

    categorical, cuts = params.features.categorical, params.evaluation.segments
    least = params.gate.segments.min_rows if params.gate.segments else None
    if cuts is None:
        cuts = {name: Cut() for name in categorical if frame[name].nunique() <= FEW_LEVELS}
    return {
        name: _with_all(frame[name], least, levels_of(frame[name], name in categorical, cut))
        for name, cut in cuts.items()
    }


def sensitive_of(params: Params, frame: pd.DataFrame) -> dict[str, Levels]:
    """The levels of each column of `evaluation.sensitive`."""
    from evergreen.training.evaluation.levels import levels_of

    categorical, least = params.features.categorical, params.gate.fairness_min_rows
    return {
        name: _with_all(frame[name], least, levels_of(frame[name], name in categorical))
        for name in params.evaluation.sensitive
    }


def _with_all(values: pd.Series, least: int | None, levels: Levels) -> Levels:
    """With all levels that have `least` rows, also where those are more than a page lists: a limit holds for each."""
    import numpy as np

    if not levels.left_out or least is None:
        return levels
    rest = values[levels.place < 0].astype("object").astype("str")
    counts = rest.value_counts()
    more = sorted(counts.index[counts >= least])
    names = sorted([*levels.names, *more])
    old = np.array([*(names.index(name) for name in levels.names), -1])
    place = old[levels.place]
    place[levels.place < 0] = [names.index(name) if name in more else -1 for name in rest]
    return replace(levels, place=place, names=tuple(names), left_out=levels.left_out - len(more))
