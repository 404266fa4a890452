"""search.json: what a search tried and chose. It is committed, and an input of `train` like any other.

It holds no wall time and no path: the same search gives the same bytes, in one process or in several.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from evergreen.clock import format_time
from evergreen.errors import EvergreenError
from evergreen.files import write_atomic
from evergreen.params import Params

log = logging.getLogger(__name__)

AGAIN = (
    "run `evergreen search` and commit search.json (in Airflow: the retrain DAG with `search`), or `evergreen search "
    "--none` to train with training.options alone"
)


State = Literal["running", "complete", "pruned", "failed"]


class Trial(BaseModel):
    """One try. Number 0 is the options as configured, which a search has to better."""

    model_config = ConfigDict(frozen=True)

    number: int
    parameters: dict[str, Any] = {}
    state: State
    scores: tuple[float, ...] = ()  # of the folds, in order
    score: float | None = None  # their mean, of a complete trial
    why: str | None = None  # it failed


class FoldRows(BaseModel):
    """How many rows a fold learned from, and how many judged it."""

    model_config = ConfigDict(frozen=True)

    cutoff: datetime | None = None
    train: int
    judge: int


class SearchRecord(BaseModel):
    """The content of search.json; with the method `none` nothing was searched, and nothing else is in it."""

    model_config = ConfigDict(frozen=True)

    method: Literal["none", "grid", "random", "optuna"]
    estimator: str | None = None
    space: dict[str, Any] = {}
    seed: int = 0
    metric: str | None = None
    cutoff: datetime | None = None  # no label known later was looked at
    features: str | None = None  # SHA-256 of the feature table
    folds: tuple[FoldRows, ...] = ()
    left_out: tuple[str, ...] = ()  # folds, and why
    planned: int = 0  # trials beside number 0
    ended: Literal["complete", "budget"] = "complete"
    trials: tuple[Trial, ...] = ()
    best: int | None = None
    chosen: dict[str, Any] = {}

    @classmethod
    def read(cls, path: Path) -> SearchRecord:
        """Read a search.json; one that is not there is that of no search."""
        try:
            return cls.parse(path.read_text(), str(path))
        except FileNotFoundError:
            return NONE

    @classmethod
    def parse(cls, text: str, whose: str) -> SearchRecord:
        """The record that a search.json holds; raise EvergreenError for something else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)[0]
            raise EvergreenError(
                f"{whose} was altered or cut off ({found['msg']}); restore it from git, or {AGAIN}"
            ) from None

    def text(self) -> str:
        """As the file holds it."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), indent=1) + "\n"

    def write(self, path: Path) -> None:
        """Write it atomically."""
        write_atomic(path, self.text())

    def misfit(self, params: Params) -> str | None:
        """Why what was chosen does not go with params.yaml; None where it does, and where nothing was chosen."""
        if self.method == "none":
            return None
        if not params.search.space:
            return f"it chose values of {', '.join(self.space)}, and params.yaml has no search.space"
        if self.estimator != params.training.estimator:
            return f"it is of the estimator {self.estimator}, and params.yaml names {params.training.estimator}"
        if self.space != params.search.space_as_json():
            return "search.space in params.yaml is another than the one that was searched"
        return None


NONE = SearchRecord(method="none")


def chosen_options(path: Path, params: Params, judge_from: datetime) -> dict[str, Any]:
    """What search.json adds to training.options. Raises EvergreenError where it is of another space or estimator.

    Warns of a search that has looked at labels known after `judge_from`, the gate window's start.
    """
    record = SearchRecord.read(path)
    if why := record.misfit(params):
        raise EvergreenError(f"{path} does not go with params.yaml: {why}; {AGAIN}")
    if record.method == "none" and params.search.space:
        log.warning(
            "search.json holds no search: training with training.options alone; to search, run `evergreen search` and "
            "commit search.json (in Airflow: the retrain DAG with `search`)"
        )
    if record.cutoff is not None and record.cutoff > judge_from:
        log.warning(
            "the search has looked at labels known up to %s, and the gate window of this build begins at %s: what it "
            "chose is judged too kindly; %s",
            format_time(record.cutoff), format_time(judge_from), AGAIN,
        )  # fmt: skip
    for name, value in record.chosen.items():
        if name in params.training.options and params.training.options[name] != value:
            log.warning(
                "%s is %s as search.json chose it, and not %s as training.options says",
                name, value, params.training.options[name],
            )  # fmt: skip
    return record.chosen
