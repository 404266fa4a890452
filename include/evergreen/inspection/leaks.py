"""Columns and features that know the outcome: almost perfect alone, or missing exactly where the label is one way.

A view that sees a row only once its outcome is known is no leak, whatever it uses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from evergreen.inspection.outcome import Outcome
from evergreen.inspection.records import Finding, Severity
from evergreen.inspection.samples import Sample
from evergreen.inspection.suspects import Suspect, filtered, find_parts, find_suspects
from evergreen.inspection.telling import telling
from evergreen.inspection.uses import ViewUse, columns_in, own_row_features, quoted, row_uses, view_uses

if TYPE_CHECKING:
    import numpy as np

    from evergreen.params import Params

_EARLY = 0.01  # share of rows that a view sees before their prediction, above which it is no accident


def check_leaks(params: Params, outcome: Outcome) -> Iterator[Finding]:
    """Columns of the rows' table, views that see a row's own outcome too early, and features that are too good."""
    rows = outcome.rows
    candidates = _candidates(outcome)
    suspects = find_suspects(outcome, candidates)
    own = columns_in(params.prediction.label.value, outcome.labels.spec) if outcome.own_table else frozenset()
    suspects = find_parts(own, candidates) | suspects
    uses = row_uses(params)
    used = {name: [feature for feature, columns in uses.items() if name in columns] for name in (*suspects, *own)}
    for name, suspect in suspects.items():
        if name not in own and (used[name] or not _is_made_of(rows, name, own)):
            yield _column(rows.name, name, suspect, used[name])
    for name in sorted(own):
        if used[name]:
            yield _is_the_label(params, rows.name, name, used[name])
    flagged = {feature for features in used.values() for feature in features}
    yield from _check_features(params, outcome, flagged)
    yield from _check_views(
        params, outcome, {*own, *(name for name, suspect in suspects.items() if suspect.kind == "label")}
    )


def _candidates(outcome: Outcome) -> dict[str, Any]:
    rows = outcome.rows
    derived = rows.derived()
    return (
        {name: rows.typed[name] for name in rows.spec.columns}
        | {name: derived[name] for name in derived.column_names}
        | rows.undeclared
    )


def _is_made_of(rows: Sample, name: str, own: Collection[str]) -> bool:
    """Whether a derived column is the label in other words, which is no news where no feature uses it."""
    return name in rows.spec.derived and bool(columns_in(rows.spec.derived[name], rows.spec) & set(own))


def _column(table: str, name: str, suspect: Suspect, features: list[str]) -> Finding:
    if features:
        todo = (
            f"Used by {_features(features)}. Is it known when the prediction is made? If not, remove it there, or let "
            "it come from a table whose `known_at` says when it is known."
        )
        severity: Severity = "note" if suspect.kind == "some" else "warning"
    else:
        todo = "No feature uses it. Leave it so, unless it is known when the prediction is made."
        severity = "note"
    return Finding(severity=severity, table=table, column=name, seen=suspect.why, todo=todo)


def _is_the_label(params: Params, table: str, name: str, features: list[str]) -> Finding:
    return Finding(
        severity="warning", table=table, column=name,
        seen=f"The label is made of it ({params.prediction.label.value}), and so is {_features(features)}.",
        todo="Remove it there: it is the outcome. A view with a `known_at` of its own may look at earlier rows'.",
    )  # fmt: skip


def _check_features(params: Params, outcome: Outcome, flagged: set[str]) -> Iterator[Finding]:
    """Row features that are too good, though none of their columns is."""
    texts = {name: text for name, text in own_row_features(params).items() if name not in flagged}
    made = outcome.rows.evaluate({name: (text, f"features.row.{name}") for name, text in texts.items()})
    labelled = outcome.labelled
    for name in made.column_names:
        told = telling(outcome.spec, outcome.label[labelled], filtered(made[name], labelled))
        if told.perfect:
            yield Finding(
                severity="warning", table=outcome.rows.name, column=None,
                seen=f"The feature `{name}` alone tells the label: {told.figure}, which no column of it does.",
                todo=f"Look at what it is made of: `{texts[name]}`. Is all of it known when the prediction is made?",
            )  # fmt: skip


def _check_views(params: Params, outcome: Outcome, telling: set[str]) -> Iterator[Finding]:
    """Views of the label's table that see the row's own outcome before its prediction."""
    import numpy as np

    labels = outcome.labels
    joined = (outcome.place >= 0) & ~np.isnat(outcome.time)
    if not joined.any():
        return
    made_of = columns_in(params.prediction.label.value, labels.spec)
    for view in view_uses(params, labels.name):
        seen = _visible(outcome, view)[joined]
        columns = sorted(view.columns & (made_of | telling if outcome.own_table else made_of))
        if columns and seen.mean() > _EARLY:
            known = params.prediction.label.known_at or labels.spec.known_at
            yield Finding(
                severity="warning", table=labels.name, column=", ".join(columns),
                seen=f"`{view.place}` sees the outcome of the row itself: {seen.mean():.0%} of the rows are known to "
                "it when they are predicted.",
                todo=f"Give the view the moment at which the outcome is certain: `known_at: {known}`.",
            )  # fmt: skip


def _visible(outcome: Outcome, view: ViewUse) -> np.ndarray[Any, Any]:
    """Whether each row's own row in the label's table counts for the view when the row is predicted."""
    import numpy as np

    known = outcome.labels.known_at()
    if view.known_at is not None:
        own = outcome.labels.moments(view.known_at, f"{view.place}.known_at")
        known = np.where(np.isnat(own) | np.isnat(known), np.datetime64("NaT", "us"), np.maximum(own, known))
    return (known[outcome.place] <= outcome.time) & (outcome.place >= 0)


def _features(names: list[str]) -> str:
    shown = ", ".join(f"`{quoted(name)}`" for name in names)
    return f"the feature{'s' * (len(names) > 1)} {shown}"
