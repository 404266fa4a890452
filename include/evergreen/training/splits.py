"""Which rows train what: the cut-off, the gate window before it, and the out-of-fold blocks.

Rows train by `_label_known_at`, when their label became what it is, and judge by `_label_first_known_at`: a row whose
label was known before the gate window and corrected in it could have been learned from, so it judges nothing. Blocks
go by `_time`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from evergreen import clock
from evergreen.errors import EvergreenError
from evergreen.params import Params
from evergreen.params.base import format_duration

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 50_000


@dataclass(frozen=True)
class Split:
    """Row numbers into the feature table, ascending.

    `twin` rows train what is judged, known up to `judge_from`; `window` rows judge it, first known after that.
    `model` rows train what serves, known up to `learned_until`: the `cutoff`, or without a refit `judge_from`, and then
    they are the twin's. Rows corrected in the window are `model` rows alone.
    """

    cutoff: datetime
    judge_from: datetime
    learned_until: datetime
    model: Any
    twin: Any
    window: Any


def split(meta: pd.DataFrame, params: Params) -> Split:
    """Split a feature table by its `_label`, `_label_known_at` and `_label_first_known_at` columns.

    The cut-off is the first local midnight at or after the last label; the gate window is the span before it.
    Raises EvergreenError where too few rows, or rows of one outcome only, are left to train the twin.
    """
    import numpy as np

    known, first = meta["_label_known_at"], meta["_label_first_known_at"]
    labelled = (meta["_label"].notna() & known.notna()).to_numpy()
    if not labelled.any():
        raise EvergreenError(
            f"no row has a known label yet: 0 of {len(meta)} rows; training needs {params.training.min_labels}. "
            f"Ingest `{params.label_table}`, or wait until its outcomes are known. If it has them, look at whether "
            "prediction.label.value is null for all, and whether its rows carry the keys of the rows to predict"
        )
    last = known[labelled].max().to_pydatetime().replace(tzinfo=UTC)
    cutoff = clock.ceil_day(last, params.zone)
    judge_from = clock.back(cutoff, params.gate.window, params.zone)
    start = clock.naive(judge_from)
    twin = np.flatnonzero(labelled & (known <= start).to_numpy() & _since(known, judge_from, params))
    refit = params.training.refit
    result = Split(
        cutoff=cutoff,
        judge_from=judge_from,
        learned_until=cutoff if refit else judge_from,
        model=np.flatnonzero(labelled & _since(known, cutoff, params)) if refit else twin,
        twin=twin,
        window=np.flatnonzero(labelled & (first > start).to_numpy()),
    )
    _check(meta["_label"].to_numpy(), result, params)
    return result


def fold_of(times: pd.Series, params: Params) -> Any:
    """The out-of-fold fold of each row: whole blocks of local time since 1970, dealt to the folds in turn."""
    local = times.dt.tz_localize("UTC").dt.tz_convert(params.time_zone).dt.tz_localize(None)
    seconds = local.astype("datetime64[s]").astype("int64").to_numpy()
    options = params.training.out_of_fold
    return seconds // int(options.block.total_seconds()) % options.folds


def sample(keys: pd.Series, rows: Any, limit: int = SAMPLE_ROWS) -> Any:
    """At most `limit` of `rows`, ascending: those whose keys hash lowest, so that a next build samples the same."""
    import numpy as np
    from pandas.util import hash_array

    if len(rows) <= limit:
        return rows
    order = np.argsort(hash_array(keys.to_numpy(dtype=object)[rows]), kind="stable")
    return np.sort(rows[order[:limit]])


def _since(known: pd.Series, end: datetime, params: Params) -> Any:
    window: timedelta | None = params.training.window
    start = clock.back(end, window, params.zone) if window else datetime(1, 1, 2, tzinfo=UTC)
    return (known > clock.naive(start)).to_numpy()


def _check(labels: Any, split: Split, params: Params) -> None:
    needed, found = params.training.min_labels, len(split.twin)
    moment = clock.format_time(split.judge_from)
    window = format_duration(params.gate.window)
    if found < needed:
        raise EvergreenError(
            f"training needs {needed} labelled rows before the gate window; {found} are known at {moment}, which is "
            f"{window} before the cut-off {clock.format_time(split.cutoff)} ({len(split.model)} by then). Wait for "
            "more labels, or lower training.min_labels or gate.window in params.yaml"
        )
    _check_outcomes(labels, split, params)


def _check_outcomes(labels: Any, split: Split, params: Params) -> None:
    """Raise EvergreenError where the twin's rows, or of a multiclass label the model's, leave nothing to tell apart."""
    import numpy as np

    label, moment = params.prediction.label, clock.format_time(split.judge_from)
    found, seen = len(split.twin), np.unique(labels[split.twin])
    if label.kind == "multiclass":
        for rows, until in ((split.twin, split.judge_from), (split.model, split.learned_until)):
            known = labels[rows]
            if absent := [name for place, name in enumerate(label.classes or ()) if not (known == place).any()]:
                raise EvergreenError(
                    f"of the classes of the label {', '.join(absent)} is not among the {len(known)} labels known at "
                    f"{clock.format_time(until)}: a model cannot tell what it has not seen. Wait until it has "
                    "happened, or take it out of prediction.label.classes in params.yaml"
                )
    elif len(seen) < 2 and label.kind == "binary":
        raise EvergreenError(
            f"all {found} labels known at {moment} are {str(bool(seen[0])).lower()}: a classifier needs both outcomes. "
            "Check prediction.label.value in params.yaml, or wait until both have happened"
        )
    elif len(seen) < 2:
        raise EvergreenError(
            f"all {found} labels known at {moment} are {seen[0]:g}: a regression needs values that differ. "
            "Check prediction.label.value in params.yaml, or wait for more labels"
        )
