"""The rows of a build's feature table that the gate asks about: those that judge, those that could be learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evergreen.project import Project
from evergreen.registry.bundle import Bundle

if TYPE_CHECKING:
    import pandas as pd


def rows_known(project: Project, candidate: Bundle) -> int:
    """How many rows the candidate's twin could learn from, counted here: a build's code is not taken at its word."""
    from evergreen.training.frame import META, read_frame
    from evergreen.training.splits import split

    return len(split(read_frame(project.build / "features.parquet", META), candidate.params).twin)


def window_frame(project: Project, candidate: Bundle) -> pd.DataFrame:
    """The labelled rows of the candidate's gate window with their features, in the feature table's order."""
    from evergreen.training.frame import read_window

    training = candidate.training
    return read_window(project.build / "features.parquet", candidate.params, training.judge_from, training.cutoff)
