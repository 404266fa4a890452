"""Labels: the newest outcome known of a row, since when it is that, and when a first one was known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evergreen.clock import naive
from evergreen.features.engine import Sql, connect, evaluate
from evergreen.features.outcomes import number_of, stray_of
from evergreen.features.rows import key_text, prediction_rows

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from evergreen.params import Params
    from evergreen.params.prediction import Label
    from evergreen.project import Project

LABEL = ("_label", "_label_known_at", "_label_first_known_at")


def labels_table(tables: Mapping[str, ir.Table], params: Params, *, known_until: datetime | None = None) -> ir.Table:
    """`_key`, `_label` (a number: see `outcomes`), `_label_known_at`, `_label_first_known_at` of every row with one.

    A label is one that is known at `known_until`; None takes all that `tables` hold. Only where `label.by` maps other
    columns than the key is the rows' table needed.
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
    return labels.select("_key", *LABEL)


def not_yet_known(labels: ir.Table) -> ir.Table:
    """Those of `labels` with a `_time` that nobody knew at that moment: the others are no outcome to be predicted.

    A view may hold what such a label says, so a model would learn to read it there, and be praised for it.
    """
    return labels.filter(labels["_label_first_known_at"] > labels["_time"])


def foreknown(tables: Mapping[str, ir.Table], params: Params, until: datetime) -> int:
    """How many rows with a moment up to `until` had a label by their moment."""
    rows = prediction_rows(tables, params, until=until).select("_key", "_time")
    labels = rows.inner_join(labels_table(tables, params, known_until=until), "_key")
    return int(labels.anti_join(not_yet_known(labels), "_key").count().to_pyarrow().as_py())


def known_labels(tables: Mapping[str, ir.Table], params: Params, known_until: datetime | None) -> ir.Table:
    """The columns of `label_by` and LABEL, each label once; unknown and null ones are left out.

    The label is that of the newest version in `tables` (of the newest row, where several answer to one). A version's
    is known when the version is, or at `label.known_at` where that is later, unless another version came before that.
    `_label_known_at` is when this value became known: versions that repeat it (another column was corrected) move
    nothing. `_label_first_known_at` is when any value was, so that whoever learned by then has learned of this row.
    Where the label is known only after `known_until`, there is none yet.
    """
    return _newest(tables, params, known_until, number_of)


def strays(
    tables: Mapping[str, ir.Table], params: Params, known_until: datetime, after: datetime | None = None
) -> dict[str, int]:
    """Outcomes that no label can be, and of how many rows each is the newest: these rows have no label.

    Those that were first known by `after` are left out. A class that is not listed is one, and an infinite number.
    """
    import ibis

    if params.prediction.label.kind == "binary":
        return {}
    by = label_by(params)
    found = _newest(tables, params, known_until, stray_of)
    if after is not None:
        found = found.filter(found["_label_first_known_at"] > naive(after))
    rows = prediction_rows(tables, params, until=known_until).select("_key", *by.values())
    met = rows.inner_join(
        found.rename({f"__{theirs}": theirs for theirs in by}),
        [(mine, f"__{theirs}") for theirs, mine in by.items()],
    )
    counted = met.group_by("_label").agg(rows=met.count()).order_by(ibis.desc("rows"), "_label")
    return {row["_label"]: row["rows"] for row in counted.to_pyarrow().to_pylist()}


def _newest(
    tables: Mapping[str, ir.Table], params: Params, known_until: datetime | None, read: Callable[[Any, Label], Any]
) -> ir.Table:
    """The columns of `label_by` and LABEL, `_label` as `read` makes it of the expression's value."""
    import ibis

    label, name = params.prediction.label, params.label_table
    wanted = {"__label": Sql(label.value, "prediction.label.value")}
    if label.known_at is not None:
        wanted["__mature"] = Sql(label.known_at, "prediction.label.known_at")
    found = evaluate(tables[name], wanted, params.time_zone)
    value, known = read(found["__label"], label), found["_known_at"]
    if label.known_at is not None:
        mature = found["__mature"].cast("timestamp(6)")
        value = ibis.ifelse(mature.isnull(), ibis.null(value.type()), value)
        known = ibis.greatest(known, mature)
    by, order = list(label_by(params)), ["_known_at", *params.tables[name].key, "_version"]
    versions = found.select(*dict.fromkeys([*by, *order]), _label=value, __at=known)
    labels = _current(versions, by, order)
    return labels if known_until is None else labels.filter(labels["_label_known_at"] <= naive(known_until))


def _current(versions: ir.Table, by: list[str], order: list[str]) -> ir.Table:
    """The last label of each `by`, null ones left out, from `_label` and `__at` of all versions in `order`."""
    import ibis

    window, never = ibis.window(group_by=by, order_by=order), ibis.null("timestamp(6)")
    label, after = versions["_label"], versions["_known_at"].lead().over(window)
    found = versions.mutate(
        __at=ibis.ifelse(after.isnull() | (versions["__at"] < after), versions["__at"], never),
        __new=~label.identical_to(label.lag().over(window)),
        __last=after.isnull(),
    )
    found = found.mutate(
        __run=found["__new"].cast("int64").sum().over(ibis.cumulative_window(group_by=by, order_by=order)),
        __any=ibis.ifelse(found["_label"].notnull(), found["__at"], never),
    )
    found = found.mutate(
        _label_known_at=found["__at"].min().over(ibis.window(group_by=[*by, "__run"])),
        _label_first_known_at=found["__any"].min().over(ibis.window(group_by=by)),
    )
    found = found.filter(found["__last"], found["_label"].notnull(), found["_label_known_at"].notnull())
    return found.select(*by, *LABEL)


def label_by(params: Params) -> dict[str, str]:
    """Label table's column to rows' column: `label.by`, or the rows' key under the same names."""
    return params.prediction.label.by or {name: name for name in params.tables[params.prediction.rows].key}


def label_cutoff(project: Project, as_of: datetime) -> datetime | None:
    """When the newest label that is known at `as_of` became known; None without one.

    Read straight from the label's table in the lake, so a label whose row was never predicted counts too.
    """
    from evergreen.lake.known import known_rows

    tables = known_rows(connect(), project, as_of, [project.params.label_table])
    return newest_label(tables, project.params, as_of)


def newest_label(tables: Mapping[str, ir.Table], params: Params, known_until: datetime) -> datetime | None:
    """When the newest label of `tables` that is known at `known_until` became known; None without one."""
    newest = known_labels(tables, params, known_until)["_label_known_at"].max().to_pyarrow().as_py()
    return None if newest is None else newest.replace(tzinfo=UTC)
