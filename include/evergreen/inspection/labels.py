"""Labels that never come, come before the prediction, or are all the same; and rows that are never predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.clock import naive
from evergreen.features.labels import label_by
from evergreen.inspection.columns import some_values
from evergreen.inspection.moments import MANY, NEVER, counted, example, moment
from evergreen.inspection.outcome import Outcome
from evergreen.inspection.records import Finding, LabelSeen
from evergreen.params.prediction import Kind

if TYPE_CHECKING:
    from evergreen.params import Params
    from evergreen.params.prediction import Label

SHOWN = 10  # outcomes that a finding names
TO_BE: Mapping[Kind, str] = {
    "binary": "true or false", "multiclass": "one of prediction.label.classes", "regression": "a number",
}  # fmt: skip
_EARLY = 0.01  # share of labels that may come early: some outcomes are


def describe_label(outcome: Outcome) -> LabelSeen:
    """How many rows have a label, how it is, and how long it takes."""
    import numpy as np

    labelled, settled = outcome.labelled, outcome.settled
    waits = (outcome.label_known - outcome.time)[labelled & ~np.isnat(outcome.label_known) & ~np.isnat(outcome.time)]
    return LabelSeen(
        rows=len(labelled), labelled=int(labelled.sum()),
        share=float(labelled[settled].mean()) if labelled.any() else None,
        rate=float(outcome.label[labelled].mean()) if labelled.any() and outcome.spec.kind == "binary" else None,
        figures=_figures(outcome.spec, outcome.label[labelled]) if labelled.any() else {},
        hours=float(np.median(waits.astype("int64")) / 3.6e9) if len(waits) else None,
    )  # fmt: skip


def _figures(label: Label, values: Any) -> dict[str, float]:
    import numpy as np

    if label.kind == "multiclass":
        return {name: float((values == place).mean()) for place, name in enumerate(label.classes or ())}
    if label.kind == "binary":
        return {}
    ends = {"lowest": values.min(), "median": np.median(values), "mean": values.mean(), "highest": values.max()}
    return {name: float(value) for name, value in ends.items()}


def check_label(params: Params, outcome: Outcome, as_of: datetime) -> Iterator[Finding]:
    """From the rows' own moment to the label's value and maturity, as far as there are labels to see it on."""
    yield from _predictions(params, outcome)
    yield from _astray(params, outcome)
    if not outcome.labelled.any():
        yield _none(params, outcome)
        return
    yield from _values(params, outcome)
    yield from _maturity(params, outcome, as_of)


def _predictions(params: Params, outcome: Outcome) -> Iterator[Finding]:
    import numpy as np

    rows, text = outcome.rows, params.prediction.at
    nothing = np.isnat(outcome.time)
    if nothing.any():
        yield Finding(
            severity="error" if nothing.all() else "warning" if nothing.mean() > MANY else "note",
            table=rows.name, column="prediction.at",
            seen=f"`{text}` has no value in {counted(nothing)}, such as {example(rows, nothing)}.",
            todo="These are never predicted. Let it be made of columns that every row has.",
        )  # fmt: skip
    late = outcome.time < outcome.known
    if late.any():
        yield Finding(
            severity="error" if late.all() else "warning" if late.mean() > MANY else "note",
            table=rows.name, column="prediction.at",
            seen=f"`{text}` lies before `known_at` ({rows.spec.known_at}) in {counted(late)}, such as "
            f"{example(rows, late)}.",
            todo="A row that is not known at its moment is never predicted. Predict later, or, if the rows are known "
            f"earlier than it says, correct `tables.{rows.name}.known_at`.",
        )  # fmt: skip


def _none(params: Params, outcome: Outcome) -> Finding:
    labels, label = outcome.labels, params.prediction.label
    found = outcome.place >= 0
    if found.any():
        return Finding(
            severity="error", table=labels.name, column="prediction.label.value",
            seen=f"`{label.value}` has no value in any of {int(found.sum()):,} rows.",
            todo=f"Nothing can be learned from it. Let it be {TO_BE[label.kind]} where the outcome is known, null only "
            "where it is not.",
        )  # fmt: skip
    theirs, mine = zip(*label_by(params).items(), strict=True)
    sides = [
        f"`{sample.name}.{name}` is such as {' / '.join(some_values(sample.typed[name])) or 'nothing'}"
        for sample, names in ((labels, theirs), (outcome.rows, mine)) for name in names if name in sample.spec.columns
    ]  # fmt: skip
    return Finding(
        severity="warning",
        table=labels.name,
        column="prediction.label.by",
        seen=f"No row of the sample of `{outcome.rows.name}` has a label in that of `{labels.name}`: "
        f"{', '.join(sides)}.",
        todo="If they should meet, name the columns that join them in `prediction.label.by`. If the two samples are "
        "only too small to overlap, look at more rows: `evergreen check --rows 200000`.",
    )


def _astray(params: Params, outcome: Outcome) -> Iterator[Finding]:
    """Outcomes that no label can be, which stop the stage `features`."""
    if not outcome.astray:
        return
    label = params.prediction.label
    shown = ", ".join(f"`{text}` ({count:,} rows)" for text, count in list(outcome.astray.items())[:SHOWN])
    more = f" and {len(outcome.astray) - SHOWN} others" if len(outcome.astray) > SHOWN else ""
    if label.kind == "regression":
        seen, todo = "is not finite", "Let it be null where there is no outcome."
    else:
        seen = f"is none of prediction.label.classes ({', '.join(label.classes or ())})"
        todo = "Add it there, or let the expression make it one of these, or null where there is no outcome."
    yield Finding(
        severity="error", table=outcome.labels.name, column="prediction.label.value",
        seen=f"`{label.value}` {seen}: {shown}{more}.", todo=todo,
    )  # fmt: skip


def _values(params: Params, outcome: Outcome) -> Iterator[Finding]:
    import numpy as np

    label, values = params.prediction.label, outcome.label[outcome.labelled]
    if label.kind == "multiclass":
        absent = [name for place, name in enumerate(label.classes or ()) if not (values == place).any()]
        if absent:
            yield Finding(
                severity="warning", table=outcome.labels.name, column="prediction.label.classes",
                seen=f"No label of the sample is {' or '.join(f'`{name}`' for name in absent)}.",
                todo="A model needs some of each. Is it spelled as in the source? Take out what does not happen, or "
                "look at more rows: `evergreen check --rows 200000`.",
            )  # fmt: skip
    elif len(np.unique(values)) == 1:
        way = ("true" if values[0] else "false") if label.kind == "binary" else f"{values[0]:g}"
        yield Finding(
            severity="error", table=outcome.labels.name, column="prediction.label.value",
            seen=f"`{label.value}` is {way} in all {len(values):,} rows that have a label.",
            todo="A model needs both. If the threshold is right: where there is a row only if something happened, the "
            "label's table must also say that it did not." if label.kind == "binary" else
            "A model needs values that differ. Is it the right column?",
        )  # fmt: skip
    elif label.kind == "regression" and len(np.unique(values)) == 2:
        yield Finding(
            severity="note", table=outcome.labels.name, column="prediction.label.value",
            seen=f"`{label.value}` has two values only, {values.min():g} and {values.max():g}.",
            todo="If they stand for no and yes, make it a binary label: its predictions are probabilities.",
        )  # fmt: skip


def _maturity(params: Params, outcome: Outcome, as_of: datetime) -> Iterator[Finding]:
    import numpy as np

    label, table = params.prediction.label, outcome.labels
    place = f"prediction.label.known_at` ({label.known_at})" if label.known_at else f"known_at` ({table.spec.known_at})"
    labelled = outcome.labelled
    known, time = outcome.label_known[labelled], outcome.time[labelled]
    if (nothing := np.isnat(known)).any():
        yield Finding(
            severity="error" if nothing.all() else "warning", table=table.name, column="label",
            seen=f"`{place} has no value in {counted(nothing)} that have a label: these never mature.",
            todo="They are never learned from. Let it be a moment wherever `prediction.label.value` has a value.",
        )  # fmt: skip
    if (early := known <= time).any():
        yield Finding(
            severity="warning" if early.mean() > _EARLY else "note", table=table.name, column="label",
            seen=f"The label is known before the prediction is made in {counted(early)}: `{place} against "
            f"`prediction.at` ({params.prediction.at}), such as {moment(known[early][0])} against "
            f"{moment(time[early][0])}.",
            todo="Either it is predicted too late to be of use, or the outcome is certain only later: say when. "
            "Views would see it too early.",
        )  # fmt: skip
    span = np.timedelta64(NEVER)
    if (never := (known - time > span) | (known > np.datetime64(naive(as_of), "us") + span)).any():
        yield Finding(
            severity="error" if never.all() else "warning", table=table.name, column="label",
            seen=f"`{place} lies more than ten years ahead in {counted(never)}, up to "
            f"{moment(known[never].max())}: these never mature.",
            todo="Is it a placeholder for an open end? Let it be null, or the moment at which the outcome is settled.",
        )  # fmt: skip
