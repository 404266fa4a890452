"""evaluate: the twin's predictions of the gate window, what they are worth, and curves."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from evergreen import clock
from evergreen.disk import full_disk_is_said
from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.project import Project
from evergreen.training.artifacts import load_model, predict
from evergreen.training.curves import curves_of, write_curves
from evergreen.training.evaluation.assess import assess
from evergreen.training.evaluation.days import Days
from evergreen.training.evaluation.judged import Judged
from evergreen.training.evaluation.records import Threshold
from evergreen.training.evaluation.tables import tables_of
from evergreen.training.frame import outcomes, read_frame, read_window, write_table
from evergreen.training.metrics import best_threshold, binary_metrics, cheapest_threshold, confusion, finite, metrics_of
from evergreen.training.predictions import as_column, no_column
from evergreen.training.record import TrainingRecord
from evergreen.training.threads import one_thread

if TYPE_CHECKING:
    import pandas as pd


class EvaluateResult(BaseModel):
    """The twin on the gate window; a metric that these rows do not define is null."""

    model_config = ConfigDict(frozen=True)

    rows: int
    positives: int | None  # true labels of a binary kind
    metrics: dict[str, float | None]
    baseline: dict[str, float | None] | None


@full_disk_is_said()
def evaluate(project: Project) -> EvaluateResult:
    """Write build/judged.parquet, build/metrics.json, build/evaluation.json and build/plots/*.csv.

    Raises EvergreenError where `train` has not run, RegistryError where a model is not the recorded one.
    """
    build = project.build
    record = TrainingRecord.read(build / "training.json")
    with one_thread():
        rows = read_window(build / "features.parquet", project.params, record.judge_from, record.cutoff)
        y = rows["_label"].to_numpy(dtype="float64")
        twin = load_model(build / "twin.pkl", record.twin_sha256)
        p = predict(twin, rows)
        trained = _trained(project, record)
        threshold = _threshold(project) if record.kind == "binary" else None
        chosen = threshold.value if threshold else None
        p_baseline, its_chosen = None, None
        if record.baseline_sha256:
            baseline = load_model(build / "baseline.pkl", record.baseline_sha256)
            p_baseline = predict(baseline, rows)
            # Its own: at the twin's, a class weight of the twin's alone would make it look hopeless.
            its_chosen = _best(project, trained["_label"].to_numpy(), predict(baseline, trained)) if threshold else None
        write_table(_judged(rows, p, p_baseline, len(record.classes)), build / "judged.parquet")
        point("evaluate.judged")
        result = _result(record, y, p, chosen, p_baseline, its_chosen)
        cost = project.params.evaluation.cost
        judged = Judged(record.kind, rows, y, p, p_baseline, record.categorical, chosen, cost, its_chosen)
        _assess(project, record, judged, threshold, twin, trained)
    write_atomic(build / "metrics.json", _metrics(result, y, p, chosen))
    return result


def _assess(
    project: Project,
    record: TrainingRecord,
    judged: Judged,
    threshold: Threshold | None,
    twin: Any,
    trained: pd.DataFrame,
) -> None:
    """Write evaluation.json and the curves."""
    params, build = project.params, project.build
    days = Days.of(judged.rows["_time"], params.time_zone, params.evaluation)
    said = partial(predict, twin)
    evaluation = assess(
        judged, days, params.evaluation, trained, said, record.features, threshold, params.time_zone, record.classes
    )
    evaluation.write(build / "evaluation.json")
    point("evaluate.assessed")
    curves = curves_of(judged.y, judged.p, threshold.value) if threshold else {}
    write_curves(build / "plots", curves | tables_of(judged, days, evaluation))


def _trained(project: Project, record: TrainingRecord) -> pd.DataFrame:
    """The twin's training rows, as train split them: the last `twin_rows` that were known before the window."""
    bounds = [("_label_known_at", "<=", clock.naive(record.judge_from))]
    rows = read_frame(project.build / "features.parquet", [*record.features, "_label", "_label_known_at"], bounds)
    known = rows[rows["_label"].notna()].sort_values("_label_known_at", kind="stable")
    return known.iloc[max(len(known) - record.twin_rows, 0) :].reset_index(drop=True)


def _threshold(project: Project) -> Threshold:
    """The best threshold on the out-of-fold predictions of the twin's rows: of lowest cost where costs are configured,
    else of highest F1. Neither the rows nor the fits know anything of the window.
    """
    validation = read_frame(project.build / "validation.parquet", ["_label", "p"])
    y, p = validation["_label"].to_numpy(), validation["p"].to_numpy()
    return Threshold(value=_best(project, y, p), by="cost" if project.params.evaluation.cost else "f1", rows=len(y))


def _best(project: Project, y: Any, p: Any) -> float:
    cost = project.params.evaluation.cost
    return cheapest_threshold(y, p, cost) if cost else best_threshold(y, p)


def _judged(rows: pd.DataFrame, p: Any, p_baseline: Any, classes: int) -> Any:
    table = outcomes(rows).append_column("p", as_column(p))
    baseline = no_column(len(rows), classes) if p_baseline is None else as_column(p_baseline)
    return table.append_column("p_baseline", baseline)


def _result(
    record: TrainingRecord, y: Any, p: Any, threshold: float | None, p_baseline: Any, baseline_threshold: float | None
) -> EvaluateResult:
    def figures(said: Any, at: float | None) -> dict[str, float | None]:
        if at is not None:
            return finite(binary_metrics(y, said, at))
        return finite(metrics_of(record.kind, y, said))

    return EvaluateResult(
        rows=len(y),
        positives=int(y.sum()) if record.kind == "binary" else None,
        metrics=figures(p, threshold),
        baseline=None if p_baseline is None else figures(p_baseline, baseline_threshold),
    )


def _metrics(result: EvaluateResult, y: Any, p: Any, threshold: float | None) -> str:
    """The text of metrics.json, which `dvc metrics` compares between builds."""
    content: dict[str, Any] = {"rows": result.rows}
    if threshold is None:
        content |= {**result.metrics, "baseline": result.baseline}
    else:
        content |= {
            "positives": result.positives,
            **result.metrics,
            "threshold": threshold,
            "confusion": confusion(y, p, threshold),
            "baseline": result.baseline,
        }
    return json.dumps(content, indent=2) + "\n"
