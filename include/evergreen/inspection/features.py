"""Features that would be empty: expressions without a value, and views whose entity meets no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evergreen.inspection.columns import some_values
from evergreen.inspection.records import Finding
from evergreen.inspection.samples import Sample
from evergreen.inspection.uses import own_row_features
from evergreen.params.features import View
from evergreen.sql import quote

if TYPE_CHECKING:
    import pyarrow as pa

    from evergreen.params import Params


def check_features(params: Params, samples: Mapping[str, Sample | str]) -> Iterator[Finding]:
    """Derived columns, row features of the rows' own columns, and views, where their tables have samples."""
    for sample in samples.values():
        if isinstance(sample, Sample):
            derived = sample.derived()
            yield from (
                _empty(sample, name, name, sample.spec.derived[name])
                for name in derived.column_names
                if _is_empty(derived[name])
            )
    rows = samples.get(params.prediction.rows)
    if not isinstance(rows, Sample):
        return
    texts = own_row_features(params)
    made = rows.evaluate({name: (text, f"features.row.{name}") for name, text in texts.items()})
    named = {*rows.spec.columns, *rows.spec.derived}  # what is empty itself has been told
    for name in made.column_names:
        if _is_empty(made[name]) and texts[name] not in named:
            yield _empty(rows, None, f"features.row.{name}", texts[name])
    for place, table, view in _views(params):
        seen = samples.get(table)
        if isinstance(seen, Sample):
            yield from _check_entity(rows, seen, view, place)


def _is_empty(values: pa.ChunkedArray) -> bool:
    return len(values) > 0 and values.null_count == len(values)


def _empty(sample: Sample, column: str | None, name: str, text: str) -> Finding:
    return Finding(
        severity="warning", table=sample.name, column=column,
        seen=f"`{name}` has no value in any of {sample.rows:,} rows.",
        todo=f"Does its expression fit the values? `{text}`",
    )  # fmt: skip


def _views(params: Params) -> Iterator[tuple[str, str, View]]:
    for name, latest in params.features.latest.items():
        yield f"features.latest.{name}", latest.table or name, latest
    for name, trailing in params.features.trailing.items():
        yield f"features.trailing.{name}", str(trailing.table), trailing


def _check_entity(rows: Sample, seen: Sample, view: View, place: str) -> Iterator[Finding]:
    theirs, mine = zip(*view.pairs(), strict=True)
    sides = _entity(seen, theirs, place), _entity(rows, mine, place)
    if not sides[0] or not sides[1] or sides[0] & sides[1]:
        return
    shown = " and ".join(
        f"`{sample.name}` has {', '.join(columns)} such as {_examples(sample, columns, place)}"
        for sample, columns in ((seen, theirs), (rows, mine))
    )
    yield Finding(
        severity="warning", table=seen.name, column=None,
        seen=f"`{place}` would be empty: in the samples no row meets one of `{seen.name}` by {', '.join(theirs)}; "
        f"{shown}.",
        todo=f"Are these the same things, written in the same way? If not, correct `{place}.by`, or add a derived "
        "column that writes one as the other. If the samples are only too small, look at more rows.",
    )  # fmt: skip


def _entity(sample: Sample, columns: Sequence[str], place: str) -> set[tuple[object, ...]]:
    """The different entities of a sample, without those that lack a value."""
    table = sample.evaluate({name: (quote(name), f"{place}.by") for name in columns})
    found = table.group_by(table.column_names).aggregate([]).to_pylist()
    return {tuple(row.values()) for row in found if None not in row.values()}


def _examples(sample: Sample, columns: Sequence[str], place: str) -> str:
    table = sample.evaluate({name: (quote(name), f"{place}.by") for name in columns})
    return " / ".join(", ".join(some_values(table[name])) for name in columns)
