"""The drift report: Evidently on the window's inputs against the champion's training rows.

Methods are set per column, since Evidently's defaults change with the number of rows. Verdicts are Evidently's own:
p-values and distances point opposite ways, so a score is never compared with the threshold here.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.errors import ParamsError
from evergreen.faults import point
from evergreen.files import naming, publish
from evergreen.monitoring.records import Drift
from evergreen.params.monitoring import Drift as DriftParams

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SEED = 0


class Sides(NamedTuple):
    """Two frames of the same columns, and what was left out of them."""

    current: pd.DataFrame
    reference: pd.DataFrame
    numeric: list[str]
    categorical: list[str]
    left_out: dict[str, str]


def drift_report(
    current: pa.Table,
    reference: pa.Table,
    names: Sequence[str],
    categorical: Sequence[str],
    params: DriftParams,
    folder: Path,
) -> Drift:
    """Compare the features `names`, write `drift.html` and `drift.json` into `folder`, and return the numbers.

    Both tables hold features as columns. What cannot be compared is left out, and said; where nothing is left, no
    report is written. Raises ParamsError for a method that Evidently does not know, or not for that type of column.
    """
    sides = prepare(current, reference, names, categorical, params)
    columns = [*sides.numeric, *sides.categorical]
    rows = {"current": len(sides.current), "reference": len(sides.reference)}
    if not columns:
        return Drift(share=None, left_out=sides.left_out, rows=rows, note="no column can be compared: no report")
    methods = {name: params.methods.get(name, params.numeric) for name in sides.numeric}
    methods |= {name: params.methods.get(name, params.categorical) for name in sides.categorical}
    run = _run(sides, methods, params)
    found = json.loads(run.json())
    _save(run, folder)
    return _read(found, methods, sides.left_out, rows)


def prepare(
    current: pa.Table, reference: pa.Table, names: Sequence[str], categorical: Sequence[str], params: DriftParams
) -> Sides:
    """Sample both sides, and leave out the columns that would make Evidently give up the whole report."""
    wanted = list(params.columns if params.columns is not None else names)
    frames = [_sample(table, wanted, categorical, params.max_rows) for table in (current, reference)]
    left_out: dict[str, str] = {}
    for side, frame in zip(("the window", "the training rows"), frames, strict=True):
        for name in wanted:
            if name not in frame:
                left_out.setdefault(name, f"not in {side}")
            elif frame[name].isna().all():
                left_out.setdefault(name, f"no value in {side}")
    kept = [name for name in wanted if name not in left_out]
    return Sides(
        frames[0][kept],
        frames[1][kept],
        [name for name in kept if name not in categorical],
        [name for name in kept if name in categorical],
        left_out,
    )


def _sample(table: pa.Table, names: Sequence[str], categorical: Sequence[str], rows: int) -> pd.DataFrame:
    """At most `rows` rows, the same ones each time; what is not finite is no number."""
    import numpy as np

    table = table.select([name for name in names if name in table.column_names])
    if table.num_rows > rows:
        chosen = np.random.default_rng(SEED).choice(table.num_rows, rows, replace=False)
        table = table.take(np.sort(chosen))
    frame: pd.DataFrame = table.to_pandas()
    for name in frame:
        if name not in categorical:
            frame[name] = frame[name].astype(float).replace([np.inf, -np.inf], np.nan)
    return frame


def _run(sides: Sides, methods: dict[str, str], params: DriftParams) -> Any:
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Evidently counts its uses, where it is not told to leave it
    with warnings.catch_warnings():
        # Evidently 0.7.23 touches numpy.core and deprecated parts of litestar when it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        from evidently import DataDefinition, Dataset, Report
        from evidently.legacy.calculations.stattests.registry import (
            StatTestInvalidFeatureTypeError,
            StatTestNotFoundError,
        )
        from evidently.presets import DataDriftPreset
    definition = DataDefinition(numerical_columns=sides.numeric, categorical_columns=sides.categorical)
    current, reference = (
        Dataset.from_pandas(side, data_definition=definition) for side in (sides.current, sides.reference)
    )
    columns = [*sides.numeric, *sides.categorical]
    preset = DataDriftPreset(columns=columns, per_column_method=methods, threshold=params.threshold)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # its histograms of columns with very few values
            return Report([preset], include_tests=True).run(current, reference)
    except (StatTestNotFoundError, StatTestInvalidFeatureTypeError) as error:
        raise ParamsError(f"monitoring.drift: {error}; see Evidently's list of drift methods") from None


def _save(run: Any, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".drift.") as scratch:
        for name, save in (("drift.html", run.save_html), ("drift.json", run.save_json)):
            with naming(folder / name):
                save(str(Path(scratch) / name))
            publish(Path(scratch) / name, folder / name)
            point("monitor.drawn")


def _read(found: dict[str, Any], methods: dict[str, str], left_out: dict[str, str], rows: dict[str, int]) -> Drift:
    metrics = {metric["id"]: metric for metric in found["metrics"]}
    share = next(m["value"]["share"] for m in metrics.values() if m["config"]["type"].endswith("DriftedColumnsCount"))
    drifted: dict[str, bool] = {}
    scores: dict[str, float | None] = {}
    for test in found["tests"]:
        metric = metrics[test["metric_config"]["metric_id"]]
        column = metric["config"].get("column")
        if column is not None:
            drifted[column] = test["status"] == "FAIL"
            # Evidently sums over a set of categories, so the last bits change from process to process.
            scores[column] = float(f"{metric['value']:.9g}")
    return Drift(share=share, columns=drifted, scores=scores, methods=methods, left_out=left_out, rows=rows)
