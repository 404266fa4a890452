"""evaluate: the twin's predictions of the gate window, their metrics and curves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from evergreen import clock
from evergreen.disk import full_disk_is_said
from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.project import Project
from evergreen.training.artifacts import load_model, predict
from evergreen.training.curves import write_curves
from evergreen.training.frame import outcomes, read_frame, read_window, write_table
from evergreen.training.metrics import best_threshold, binary_metrics, confusion, finite
from evergreen.training.record import TrainingRecord
from evergreen.training.threads import one_thread

if TYPE_CHECKING:
    import pandas as pd


class EvaluateResult(BaseModel):
    """The twin on the gate window; a metric that these rows do not define is null."""

    model_config = ConfigDict(frozen=True)

    rows: int
    positives: int
    metrics: dict[str, float | None]
    baseline: dict[str, float | None] | None


@full_disk_is_said()
def evaluate(project: Project) -> EvaluateResult:
    """Write build/judged.parquet, build/metrics.json and build/plots/*.csv.

    Raises EvergreenError where `train` has not run, RegistryError where a model is not the recorded one.
    """
    build = project.build
    record = TrainingRecord.read(build / "training.json")
    with one_thread():
        rows = read_window(build / "features.parquet", project.params, record.judge_from, record.cutoff)
        y = rows["_label"].to_numpy(dtype="float64")
        p = predict(load_model(build / "twin.pkl", record.twin_sha256), rows)
        p_baseline = None
        if record.baseline_sha256:
            p_baseline = predict(load_model(build / "baseline.pkl", record.baseline_sha256), rows)
        threshold = _threshold(project, record)
        write_table(_judged(rows, p, p_baseline), build / "judged.parquet")
        point("evaluate.judged")
        result = _result(y, p, p_baseline, threshold)
        write_curves(build / "plots", y, p, threshold)
    write_atomic(build / "metrics.json", _metrics(result, threshold, confusion(y, p, threshold)))
    return result


def _threshold(project: Project, record: TrainingRecord) -> float:
    """The threshold of highest F1 on the out-of-fold predictions of the rows known before the window.

    None of the judged rows is among them. It is no rule of the twin's alone, though: these predictions are made by the
    refit's folds, whose fits have learned from the window's rows too. Folds of the twin's rows would cost as many fits
    again, for one number that only precision, recall and F1 depend on.
    """
    columns = ["_label_known_at", "_label", "p"]
    bounds = [("_label_known_at", "<=", clock.naive(record.judge_from))]
    reference = read_frame(project.build / "reference.parquet", columns, bounds)
    return best_threshold(reference["_label"].to_numpy(), reference["p"].to_numpy())


def _judged(rows: pd.DataFrame, p: Any, p_baseline: Any) -> Any:
    import pyarrow as pa

    table = outcomes(rows).append_column("p", pa.array(p, pa.float64()))
    baseline = pa.nulls(len(rows), pa.float64()) if p_baseline is None else pa.array(p_baseline, pa.float64())
    return table.append_column("p_baseline", baseline)


def _result(y: Any, p: Any, p_baseline: Any, threshold: float) -> EvaluateResult:
    return EvaluateResult(
        rows=len(y),
        positives=int(y.sum()),
        metrics=finite(binary_metrics(y, p, threshold)),
        baseline=None if p_baseline is None else finite(binary_metrics(y, p_baseline, threshold)),
    )


def _metrics(result: EvaluateResult, threshold: float, cells: dict[str, int]) -> str:
    """The text of metrics.json, which `dvc metrics` compares between builds."""
    content = {
        "rows": result.rows,
        "positives": result.positives,
        **result.metrics,
        "threshold": threshold,
        "confusion": cells,
        "baseline": result.baseline,
    }
    return json.dumps(content, indent=2) + "\n"
