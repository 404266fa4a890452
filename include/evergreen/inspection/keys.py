"""Keys that several rows of a sample share: repeats, corrections, or a key that lacks a column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from evergreen.inspection.columns import shown
from evergreen.inspection.records import Finding
from evergreen.inspection.samples import Sample

if TYPE_CHECKING:
    import pandas as pd

FEW = 0.01  # a larger share of keys with different rows are hardly all corrections


def check_keys(sample: Sample) -> Iterator[Finding]:
    """Rows of one key that are equal, which is harmless, and those that differ."""
    key, frame = list(sample.spec.key), sample.typed.to_pandas()
    shared = frame[frame.duplicated(key, keep=False)]
    if shared.empty:
        return
    once = shared.drop_duplicates()
    differing = once[once.duplicated(key, keep=False)]
    keys, total = len(differing.drop_duplicates(key)), len(frame.drop_duplicates(key))
    equal = len(shared.drop_duplicates(key)) - keys
    if equal:
        yield Finding(
            severity="note", table=sample.name, column=", ".join(key),
            seen=f"{equal:,} keys come more than once, with equal rows.",
            todo="Nothing: a row that repeats what is known adds no version.",
        )  # fmt: skip
    if keys:
        yield _differing(sample, differing, keys, total)


def _differing(sample: Sample, rows: pd.DataFrame, keys: int, total: int) -> Finding:
    key = list(sample.spec.key)
    group = rows[(rows[key].astype("string") == rows[key].astype("string").iloc[0]).all(axis=1)]
    first, second = (group.iloc[place].to_dict() for place in (0, 1))
    changed = [name for name in sample.spec.columns if name not in key and _differ(first[name], second[name])]
    example = ", ".join(f"{name}={shown(first[name])}" for name in key)
    values = ", ".join(f"{name} {shown(first[name])} → {shown(second[name])}" for name in changed[:3])
    dated = sample.spec.changed_at is not None
    since = f"`changed_at` ({sample.spec.changed_at})" if dated else "the `as_of` of the ingest that brings it"
    wider = [name for name in sample.spec.columns if name not in key and not rows.duplicated([*key, name]).any()]
    if wider:
        unique = ", ".join([*key, wider[0]])
        longer = f"If each is a row of its own, the key lacks a column: `key: [{unique}]` is unique here."
    else:
        longer = "If each is a row of its own, the key lacks a column."
    return Finding(
        severity="note" if dated or keys <= FEW * total else "warning", table=sample.name, column=", ".join(key),
        seen=f"{keys:,} of {total:,} keys have rows that differ, such as {example}: {values}.",
        todo=f"If the later row corrects the earlier, it counts from {since}. {longer}",
    )  # fmt: skip


def _differ(one: Any, other: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(one) != pd.isna(other) or (not pd.isna(one) and one != other))
