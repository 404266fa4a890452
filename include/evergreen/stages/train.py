"""train: from a feature table to the model that serves, its twin that is judged, and the baseline beside it.

A pure function of build/features.parquet, search.json and params: equal inputs give equal bytes. MLflow only watches.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from evergreen import clock
from evergreen.disk import full_disk_is_said
from evergreen.errors import EvergreenError
from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.params import Params
from evergreen.params.base import format_duration
from evergreen.params.prediction import Kind
from evergreen.project import Project
from evergreen.training.chosen import chosen_options
from evergreen.training.environment import environment
from evergreen.training.estimators import find
from evergreen.training.fitting import Fitted, Job, run
from evergreen.training.frame import META, outcomes, read_frame, write_table
from evergreen.training.metrics import finite, metrics_of
from evergreen.training.pipeline import Recipe
from evergreen.training.predictions import as_column
from evergreen.training.record import TrainingRecord
from evergreen.training.splits import Split, fold_of, sample, split
from evergreen.training.threads import one_thread

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

log = logging.getLogger(__name__)

# Whose rows the out-of-fold predictions in which file are of: the monitor's reference, and what the threshold is of.
OUT_OF_FOLD = {"model": "reference.parquet", "twin": "validation.parquet"}
LEAST = 2  # rows of each outcome for a fit
# What is shown of each fit while they run.
LIVE: dict[Kind, tuple[str, ...]] = {
    "binary": ("log_loss", "roc_auc"), "multiclass": ("log_loss", "accuracy"), "regression": ("mae", "rmse"),
}  # fmt: skip


class TrainResult(BaseModel):
    """What was trained; hashes are SHA-256 of the pickles in build/."""

    model_config = ConfigDict(frozen=True)

    rows: int
    positives: int | None  # true labels of a binary kind
    twin_rows: int
    window_rows: int
    cutoff: str
    judge_from: str
    model_sha256: str
    twin_sha256: str
    baseline_sha256: str | None


@full_disk_is_said()
def train(project: Project) -> TrainResult:
    """Write model.pkl, twin.pkl, baseline.pkl (empty without a baseline), out-of-fold predictions of the rows of each
    of the first two (reference.parquet, validation.parquet), sample.parquet and training.json.

    Raises EvergreenError where there are too few labels or they are all alike, and where search.json does not go with
    params.yaml; ParamsError for an option that the estimator does not have.
    """
    with one_thread():
        features = project.build / "features.parquet"
        meta = read_frame(features, META)
        _tell_of_empty(features, project.params.features.names())
        parts = split(meta, project.params)
        folds = fold_of(meta["_time"], project.params)
        recipe = Recipe.candidate(project.params, chosen_options(project.search, project.params, parts.judge_from))
        fitted = _fit_all(project, features, _jobs(project.params, recipe, meta, parts, folds), meta, parts)
        hashes = {
            name: _save(project.build / f"{name}.pkl", fitted.get(name)) for name in ("model", "twin", "baseline")
        }
        for whose, file in OUT_OF_FOLD.items():
            write_table(_out_of_fold(whose, meta, parts, folds, fitted), project.build / file)
            point("train.reference")
        _write_sample(project, features, meta, parts)
        point("train.sample")
        record = _record(project.params, meta, parts, hashes)
        record.write(project.build / "training.json")
    return TrainResult(
        **record.model_dump(include=set(TrainResult.model_fields) - {"cutoff", "judge_from"}),
        cutoff=clock.format_time(record.cutoff),
        judge_from=clock.format_time(record.judge_from),
    )


def _tell_of_empty(features: Path, names: Sequence[str]) -> None:
    """Warn of features that no row has a value of: every fit leaves them out."""
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(features)
    groups = [parquet.metadata.row_group(number) for number in range(parquet.metadata.num_row_groups)]
    for name in names:
        place = parquet.schema_arrow.get_field_index(name)  # that of the column, since none is nested
        if place < 0:
            continue  # read_frame says what is missing
        told = [(group.column(place).statistics, group.num_rows) for group in groups]
        if told and all(found is not None and found.null_count == rows for found, rows in told):
            log.warning("no row has a value of the feature %s: it is left out of every fit", name)


def _jobs(params: Params, recipe: Recipe, meta: pd.DataFrame, parts: Split, folds: Any) -> list[Job]:
    """The fits, longest first: the model, the twin, their out-of-fold ones and the baseline.

    Without a refit the model is the twin, and so are its folds. Those of a twin that is refit are for the threshold
    alone, which only a binary label has.
    """
    baseline, labels, refit = Recipe.baseline(params), meta["_label"].to_numpy(), params.training.refit
    jobs = [Job("model", recipe, parts.model)] if refit else []
    jobs.append(Job("twin", recipe, parts.twin, parts.window))
    jobs += _folds("fold", recipe, parts.model, folds, labels, params)
    if refit and params.prediction.label.kind == "binary":
        jobs += _folds("twin_fold", recipe, parts.twin, folds, labels, params)
    if baseline:
        jobs.append(Job("baseline", baseline, parts.twin, parts.window))
    return jobs


def _folds(name: str, recipe: Recipe, rows: Any, folds: Any, labels: Any, params: Params) -> list[Job]:
    """A fit for each fold of `rows`, on the others of them."""
    import numpy as np

    jobs = []
    for fold in np.unique(folds[rows]).tolist():
        inside = folds[rows] == fold
        rest = rows[~inside]
        _require_outcomes(params, labels[rest], fold)
        jobs.append(Job(f"{name} {fold}", recipe, rest, rows[inside], keep=False))
    return jobs


def _require_outcomes(params: Params, labels: Any, fold: int) -> None:
    """Raise EvergreenError where a fold's fit would not see every outcome twice: early stopping sets some aside."""
    label = params.prediction.label
    if label.kind == "regression":
        return
    names = label.classes or ("false", "true")
    seen = {name: int((labels == place).sum()) for place, name in enumerate(names)}
    if min(seen.values()) >= LEAST:
        return
    block = format_duration(params.training.out_of_fold.block)
    every = "both outcomes" if label.kind == "binary" else "each class"
    said = (
        f"{seen['true']} true and {seen['false']} false"
        if label.kind == "binary"
        else (", ".join(f"{count} {name}" for name, count in seen.items()))
    )
    raise EvergreenError(
        f"out-of-fold predictions need {every} at least {LEAST} times outside of each fold; outside of fold "
        f"{fold} there are {said} labels. Where the labelled rows fill too few "
        f"blocks of {block}, shorten training.out_of_fold.block in params.yaml; else wait for more labels"
    )


def _fit_all(project: Project, features: Path, jobs: list[Job], meta: pd.DataFrame, parts: Split) -> dict[str, Any]:
    """Every model and fold by name, shown in MLflow as they come where a DAG's run is watched there."""
    from evergreen.registry.tracking import live

    predicted = {job.name: job.predict for job in jobs}
    labels = meta["_label"].to_numpy()
    fitted = {}
    with live(project) as watch:
        watch.stage("train")
        watch.metrics({"rows": len(parts.model), "twin_rows": len(parts.twin), "window_rows": len(parts.window)})
        for result in run(features, jobs):
            fitted[result.name] = result
            if result.p is not None:
                _show(watch, result, project.params.prediction.label.kind, labels[predicted[result.name]])
    return {"model": fitted["twin"]} | fitted


def _show(watch: Any, fitted: Fitted, kind: Kind, y: Any) -> None:
    figures = finite(metrics_of(kind, y, fitted.p))
    name, _, step = fitted.name.partition(" ")
    shown = {f"{name}_{key}": figures[key] for key in LIVE[kind] if figures[key] is not None}
    watch.metrics(shown, step=int(step) if step else None)


def _save(path: Path, fitted: Any) -> str | None:
    """Write a model's pickle and return its hash; without a model an empty file, since DVC expects one."""
    content = fitted.model if fitted else b""
    write_atomic(path, content)
    point("train.model")
    return hashlib.sha256(content).hexdigest() if fitted else None


def _out_of_fold(whose: str, meta: pd.DataFrame, parts: Split, folds: Any, fitted: dict[str, Any]) -> pa.Table:
    """The rows of the model or of the twin with predictions, each by a fit that has not seen its block.

    Those of the twin know nothing of the gate window. Where there are none, since nothing asks for them, no row is.
    """
    import numpy as np

    refit = parts.model is not parts.twin
    rows, fits = (parts.twin, "twin_fold") if whose == "twin" and refit else (parts.model, "fold")
    said = {fold: fitted[f"{fits} {fold}"].p for fold in np.unique(folds[rows]).tolist() if f"{fits} {fold}" in fitted}
    if not said:
        return outcomes(meta.iloc[:0]).append_column("p", as_column(np.empty(0)))
    p = np.empty((len(rows), *next(iter(said.values())).shape[1:]), dtype="float64")
    for fold, values in said.items():
        p[folds[rows] == fold] = values
    return outcomes(meta.iloc[rows]).append_column("p", as_column(p))


def _write_sample(project: Project, features: Path, meta: pd.DataFrame, parts: Split) -> None:
    """At most 50,000 of the model's rows with their features: what drift is measured against."""
    import pyarrow.parquet as pq

    rows = sample(meta["_key"], parts.model)
    names = ["_key", "_time", *project.params.features.names()]
    write_table(pq.read_table(features, columns=names, use_threads=False).take(rows), project.build / "sample.parquet")


def _record(params: Params, meta: pd.DataFrame, parts: Split, hashes: dict[str, Any]) -> TrainingRecord:
    recipe, baseline, label = Recipe.candidate(params), Recipe.baseline(params), params.prediction.label
    positives = int(meta["_label"].to_numpy()[parts.model].sum()) if label.kind == "binary" else None
    return TrainingRecord(
        kind=label.kind,
        classes=label.classes or (),
        cutoff=parts.cutoff,
        judge_from=parts.judge_from,
        refit=params.training.refit,
        rows=len(parts.model),
        positives=positives,
        twin_rows=len(parts.twin),
        window_rows=len(parts.window),
        estimator=params.training.estimator,
        baseline=baseline and baseline.estimator,
        features=recipe.names,
        categorical=recipe.categorical,
        environment=environment(find(recipe.estimator).packages),
        **{f"{name}_sha256": sha256 for name, sha256 in hashes.items()},
    )
