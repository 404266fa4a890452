"""A candidate as a build as of a moment would train it: the model that serves, its twin, the out-of-fold fits."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evergreen.backtest.fits import Fits, NotTrained
from evergreen.backtest.history import History
from evergreen.errors import EvergreenError
from evergreen.monitoring.records import Reference
from evergreen.monitoring.reference import reference_of
from evergreen.params import Params
from evergreen.params.base import format_duration
from evergreen.training.fitting import Job
from evergreen.training.pipeline import Recipe
from evergreen.training.splits import Split, fold_of, split


@dataclass(frozen=True)
class Candidate:
    """A build as of `as_of`: what it is split into, and its fits, which `Fits` has or makes."""

    as_of: datetime
    params: Params
    split: Split
    model: Job
    twin: Job
    fold: Any  # of each row of the history

    @property
    def folds(self) -> tuple[Job, ...]:
        """The out-of-fold fits of the model's rows; made when asked for, since their row numbers fill memory."""
        return self._folds("", self.split.model)

    @property
    def twin_folds(self) -> tuple[Job, ...]:
        """Those of the twin's rows, which know nothing of the gate window."""
        return self._folds("twin's ", self.split.twin) if self.params.training.refit else self.folds

    def _folds(self, whose: str, rows: Any) -> tuple[Job, ...]:
        import numpy as np

        recipe, fold = self.model.recipe, self.fold[rows]
        return tuple(
            Job(f"{whose}fold {n} of {self.name}", recipe, rows[fold != n], rows[fold == n], keep=False)
            for n in np.unique(fold).tolist()
        )

    @property
    def name(self) -> str:
        """The local day of its moment."""
        return f"{self.as_of.astimezone(self.params.zone):%Y-%m-%d}"


class Shared(dict[bytes, Any]):
    """Row numbers by their content: what one candidate's model learns from is what another's twin does."""

    def one(self, rows: Any) -> Any:
        """The array that is equal to `rows` and was here first."""
        return self.setdefault(hashlib.sha256(rows.tobytes()).digest(), rows)


def candidate(history: History, params: Params, as_of: datetime, shared: Shared) -> Candidate:
    """The candidate as of `as_of`, by `training.splits` on the labels known then; nothing is fitted yet.

    Raises NotTrained where too few labels, or those of one class only, are known.
    """
    import numpy as np

    meta = history.known_at(as_of)
    name = f"{as_of.astimezone(params.zone):%Y-%m-%d}"
    try:
        parts = split(meta, params)
    except EvergreenError as error:
        raise NotTrained(f"no model can be trained as of {name}: {error}") from None
    parts = dataclasses.replace(parts, model=shared.one(parts.model), twin=shared.one(parts.twin))
    recipe = Recipe.candidate(params)
    # Every fit predicts every row: where one has learned from the same rows as another, the two are one. Whoever asks
    # takes what comes after the cut-off; of the refit also the gate window, which the gate knows that it has seen.
    rows = shared.one(np.flatnonzero(history.labelled()))
    return Candidate(
        as_of=as_of,
        params=params,
        split=parts,
        model=Job(f"model of {name}{_learned(params)}", recipe, parts.model, rows),
        twin=Job(f"twin of {name}{_learned(params)}", recipe, parts.twin, rows),
        fold=shared.one(fold_of(meta["_time"], params).astype("int8")),
    )


def predictions(history: History, fits: Fits, job: Job) -> Any:
    """The job's predictions at the places of their rows, NaN elsewhere; shape (rows of the history[, classes])."""
    said = fits[job].p
    p = nothing(history, said.shape[1:])
    p[job.predict] = said
    return p


def nothing(history: History, shape: tuple[int, ...] = ()) -> Any:
    """Predictions of the history's rows before any is made."""
    import numpy as np

    return np.full((len(history.meta), *shape), np.nan)


def reference(history: History, fits: Fits, of: Candidate) -> Reference:
    """How far the candidate's bias swings, as the monitor takes it from reference.parquet of a bundle."""
    import numpy as np

    rows = of.split.model
    known = history.meta["_label_first_known_at"].to_numpy()[rows].astype("datetime64[us]")
    label, actual = of.params.prediction.label, history.meta["_label"].to_numpy(dtype="float64")[rows]
    errors = out_of_fold(history, fits, of) - (
        np.eye(label.n_classes)[actual.astype("int64")] if label.classes else actual
    )
    monitoring, zone = of.params.monitoring, of.params.zone
    return reference_of(
        known,
        errors,
        of.split.learned_until,
        monitoring.window,
        zone,
        monitoring.min_rows,
        label.kind,
        label.classes or (),
    )


def out_of_fold(history: History, fits: Fits, of: Candidate) -> Any:
    """The out-of-fold predictions of the model's rows, in their order."""
    return by_folds(history, fits, of.folds)[of.split.model]


def by_folds(history: History, fits: Fits, folds: Sequence[Job]) -> Any:
    """What the folds predict, each of its own rows, at the places of the history; NaN elsewhere."""
    said = [fits[job].p for job in folds]
    p = nothing(history, said[0].shape[1:])
    for job, values in zip(folds, said, strict=True):
        p[job.predict] = values
    return p


def _learned(params: Params) -> str:
    window = params.training.window
    return f" on {format_duration(window)}" if window else ""
