"""What one search is: its rows, its folds, its trials, and the id under which its finished trials are found again."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError
from evergreen.params import Params
from evergreen.params.search import Search
from evergreen.paths import file_sha256
from evergreen.project import Project
from evergreen.search.folds import Cut, cut
from evergreen.search.space import check_space
from evergreen.training.frame import META, read_frame
from evergreen.training.splits import split

if TYPE_CHECKING:
    import numpy as np

# Of params.yaml, what changes a trial's score. More trials, or another budget, go on with the same search.
_ELSEWHERE = {"trials", "budget", "parallel", "when"}


@dataclass(frozen=True)
class Plan:
    """A search of the options of `params` on the feature table at `path`."""

    id: str
    params: Params
    path: Path
    features: str  # SHA-256 of the feature table
    cutoff: datetime  # the gate window's start: no label known later is looked at
    cut: Cut
    labels: np.ndarray[Any, Any]

    @property
    def search(self) -> Search:
        """The section of params.yaml."""
        return self.params.search

    @property
    def metric(self) -> str:
        """What trials are compared by."""
        return self.search.metric_of(self.params.prediction.label.kind)

    @property
    def numbers(self) -> range:
        """The trials: 0 is the options as configured."""
        return range(self.search.count + 1)


def plan_search(project: Project) -> Plan:
    """Plan the search of the project's feature table.

    Only rows that train the twin are used, known before the gate window, which stays unseen: what is chosen is judged
    on it. Raises EvergreenError where nothing is configured or there are too few labels, ParamsError for a parameter
    that the estimator does not have.
    """
    params = project.params
    if not params.search.space:
        raise EvergreenError(
            "params.yaml has no search.space, so there is nothing to search: list options of the estimator and their "
            "values there, such as `search: {space: {max_iter: {int: [50, 400], step: 50}}}` (docs/search.md)"
        )
    check_space(params)
    path = project.build / "features.parquet"
    meta = read_frame(path, META)
    parts = split(meta, params)
    kind = params.prediction.label.kind
    folds = cut(meta, parts.twin, params.search.folds, params.search.seed, params.search.metric_of(kind), kind)
    sha256 = file_sha256(path)
    labels = meta["_label"].to_numpy(dtype="float64")
    return Plan(_id(params, sha256), params, path, sha256, parts.judge_from, folds, labels)


def _id(params: Params, features: str) -> str:
    """The same for the same trials; a build's is its own, since a build may run other code than the one before it."""
    sections = params.model_dump(
        mode="json",
        by_alias=True,
        include={"time_zone", "prediction", "features", "preprocess", "training", "gate", "search"},
    )
    sections["search"] = {key: value for key, value in sections["search"].items() if key not in _ELSEWHERE}
    digest = hashlib.sha256(json.dumps([sections, features], sort_keys=True).encode()).hexdigest()
    return f"{os.environ.get('EVERGREEN_BUILD') or 'by-hand'}-{digest[:12]}"
