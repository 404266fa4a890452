"""Labels: the newest outcome known of a row, and when it was known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evergreen.clock import naive
from evergreen.errors import ParamsError
from evergreen.features.engine import Sql, connect, evaluate
from evergreen.features.rows import key_text, prediction_rows

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from evergreen.params import Params
    from evergreen.project import Project


def labels_table(tables: Mapping[str, ir.Table], params: Params, *, known_until: datetime | None = None) -> ir.Table:
    """`_key`, `_label` (1.0 or 0.0) and `_label_known_at` of every row with a label known at `known_until`.

    `known_until` None takes all that `tables` hold. Only where `label.by` maps other columns than the key is the
    rows' table needed.
    """
    found, by = known_labels(tables, params, known_until), label_by(params)
    key = params.tables[params.prediction.rows].key
    if set(by.values()) == set(key):
        columns = {mine: theirs for theirs, mine in by.items()}
        labels = found.mutate(_key=key_text(found, [columns[mine] for mine in key]))
    else:
        rows = prediction_rows(tables, params)
        labels = rows.select("_key", *by.values()).inner_join(
            found.rename({f"__{theirs}": theirs for theirs in by}),
            [(mine, f"__{theirs}") for theirs, mine in by.items()],
        )
    return labels.select("_key", "_label", "_label_known_at")


def known_labels(tables: Mapping[str, ir.Table], params: Params, known_until: datetime | None) -> ir.Table:
    """The columns of `label_by`, `_label` and `_label_known_at`, each label once; unknown and null ones are left out.

    The label is that of the newest version in `tables` (of the newest row, where several answer to one), known when
    that version was, or at `label.known_at` where that is later. If that is after `known_until`, there is none yet.
    """
    import ibis

    label, name = params.prediction.label, params.label_table
    wanted = {"__label": Sql(label.value, "prediction.label.value")}
    if label.known_at is not None:
        wanted["__mature"] = Sql(label.known_at, "prediction.label.known_at")
    found = evaluate(tables[name], wanted, params.time_zone)
    if not found["__label"].type().is_boolean():
        raise ParamsError(f"prediction.label.value: `{label.value}` must be true, false or null, such as `late > 15`")
    by, key = list(label_by(params)), params.tables[name].key
    newest = [found["_known_at"].desc(), *(found[column].desc() for column in key), found["_version"].desc()]
    found = found.mutate(__newest=ibis.row_number().over(ibis.window(group_by=by, order_by=newest)))
    found = found.filter(found["__newest"] == 0)
    known = found["_known_at"]
    if label.known_at is not None:
        mature = found["__mature"].cast("timestamp(6)")
        known = ibis.ifelse(mature.isnull(), ibis.null("timestamp(6)"), ibis.greatest(known, mature))
    found = found.select(*by, _label=found["__label"].cast("float64"), _label_known_at=known)
    found = found.filter(found["_label"].notnull(), found["_label_known_at"].notnull())
    return found if known_until is None else found.filter(found["_label_known_at"] <= naive(known_until))


def label_by(params: Params) -> dict[str, str]:
    """Label table's column to rows' column: `label.by`, or the rows' key under the same names."""
    return params.prediction.label.by or {name: name for name in params.tables[params.prediction.rows].key}


def label_cutoff(project: Project, as_of: datetime) -> datetime | None:
    """When the newest label that is known at `as_of` became known; None without one.

    Read straight from the label's table in the lake, so a label whose row was never predicted counts too.
    """
    from evergreen.lake.known import known_rows

    name = project.params.label_table
    labels = known_labels(known_rows(connect(), project, as_of, [name]), project.params, as_of)
    newest = labels["_label_known_at"].max().to_pyarrow().as_py()
    return None if newest is None else newest.replace(tzinfo=UTC)
