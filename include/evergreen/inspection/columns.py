"""A sample's columns beside the declared ones: names, types, nulls, a few values, and what does not fit."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from evergreen.inspection.convert import convert, is_text, type_name
from evergreen.inspection.records import ColumnSeen, Finding
from evergreen.inspection.samples import Sample
from evergreen.inspection.uses import quoted
from evergreen.params.tables import ColumnType
from evergreen.sources.catalog import SOURCES
from evergreen.sources.files import FileSource

if TYPE_CHECKING:
    import pyarrow as pa

LEVELS = 1000  # of a category; more are hardly one
_SHOWN = 24


def describe_columns(sample: Sample) -> tuple[ColumnSeen, ...]:
    """The declared columns in their order, then derived ones, then those that only the source has."""
    found = []
    for name, declared in sample.spec.columns.items():
        role = "key" if name in sample.spec.key else "column"
        values = _first(sample, name)
        found.append(_column(name, role, declared.type, values, values if values is not None else sample.typed[name]))
    derived = {name: _utc(sample.derived()[name]) for name in sample.spec.derived}
    found += [_column(name, "derived", "derived", values, values) for name, values in derived.items()]
    found += [_column(name, "undeclared", None, values, values) for name, values in sample.undeclared.items()]
    return tuple(found)


def check_columns(sample: Sample) -> Iterator[Finding]:
    """Columns that are missing, twice there, or of another type; those not declared; times without a zone."""
    import pyarrow as pa

    named, zoneless = Counter(sample.seen.column_names), []
    for name, declared in sample.spec.columns.items():
        values = _first(sample, name)
        if values is None:
            yield _missing(sample, name)
            continue
        if named[name] > 1:
            yield Finding(
                severity="error", table=sample.name, column=name,
                seen=f"The source has {named[name]} columns of this name.",
                todo="An ingest refuses that: rename all but one of them in the source.",
            )  # fmt: skip
        yield from _check_type(sample, name, declared.type, values)
        zoneless += [name] if declared.type == "timestamp" and type_name(values.type) == "timestamp, no zone" else []
        if pa.types.is_null(values.type):
            yield Finding(
                severity="note", table=sample.name, column=name, seen="No row of the sample has a value.",
                todo="See that the source fills it; a feature of it would say nothing.",
            )  # fmt: skip
    if zoneless:
        yield _zoneless(sample, zoneless)
    if sample.undeclared:
        names = ", ".join(f"`{name}`" for name in sample.undeclared)
        yield Finding(
            severity="note", table=sample.name, column=None,
            seen=f"In the source and not declared, so not read: {names}.",
            todo=f"Nothing; or declare what a feature shall use under `tables.{sample.name}.columns`.",
        )  # fmt: skip


def some_values(values: pa.ChunkedArray, count: int = 3) -> tuple[str, ...]:
    """The first different values, as text."""
    known = values.slice(0, 2000).drop_null().to_pylist()
    return tuple(dict.fromkeys(shown(value) for value in known))[:count]


def shown(value: Any) -> str:
    """A value for a reader: short, on one line, and a moment without the zeros that say nothing."""
    if hasattr(value, "isoformat"):
        text = str(value.isoformat()).replace("+00:00", "Z").replace(":00Z", "Z")
    else:
        text = f"{value:.7g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _utc(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A derived moment is UTC, as every moment of the lake is."""
    import pyarrow as pa

    return values.cast(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(values.type) else values


def _first(sample: Sample, name: str) -> pa.ChunkedArray | None:
    names = sample.seen.column_names
    return sample.seen.column(names.index(name)) if name in names else None


def _column(
    name: str, role: Any, declared: str | None, seen: pa.ChunkedArray | None, values: pa.ChunkedArray
) -> ColumnSeen:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = values.drop_null()
    countable = not pa.types.is_nested(values.type)
    return ColumnSeen(
        name=name, role=role, declared=declared, seen=None if seen is None else type_name(seen.type),
        nulls=None if seen is None else values.null_count / max(len(values), 1),
        values=len(pc.unique(known)) if countable and seen is not None else None,
        examples=some_values(values),
    )  # fmt: skip


def _missing(sample: Sample, name: str) -> Finding:
    free = {other.lower(): other for other in sample.undeclared}
    near = difflib.get_close_matches(name.lower(), free, n=1)
    hint = f"Did you mean `{free[near[0]]}`? " if near else ""
    return Finding(
        severity="error", table=sample.name, column=name, seen=f"Declared, and not in the source. {hint}".strip(),
        todo=f"Write the name as the source does ({', '.join(sample.seen.column_names)}), or remove the column.",
    )  # fmt: skip


def _zoneless(sample: Sample, names: list[str]) -> Finding:
    first, local = quoted(names[0]), sample.time_zone if sample.time_zone != "UTC" else "Europe/Berlin"
    return Finding(
        severity="note", table=sample.name, column=", ".join(names),
        seen="These times have no zone: they are read as UTC.",
        todo=f"Nothing if they are UTC. If they are local times, add a derived column and use that one: "
        f"`utc: timezone('UTC', timezone('{local}', {first}))`.",
    )  # fmt: skip


def _check_type(sample: Sample, name: str, type_: ColumnType, values: pa.ChunkedArray) -> Iterator[Finding]:
    import pyarrow as pa
    import pyarrow.compute as pc

    seen, bad = type_name(values.type), sample.bad[name]
    if count := int(bad.sum()):
        examples = " and ".join(f"`{text}`" for text in some_values(values.filter(pa.array(bad))))
        yield Finding(
            severity="error", table=sample.name, column=name,
            seen=f"Declared {type_}, seen {seen}: {count:,} of {sample.rows:,} values do not convert, such as "
            f"{examples}.",
            todo=_mend(sample, name, type_, values, bad),
        )  # fmt: skip
    elif type_ == "int64" and pa.types.is_floating(values.type) and not sample.fit:
        yield Finding(
            severity="warning", table=sample.name, column=name, seen=f"Declared int64, seen {seen} with whole numbers.",
            todo="Declare it float64: `1.0` is no int64, and an ingest may refuse a file for it.",
        )  # fmt: skip
    levels = int(pc.count_distinct(sample.typed[name]).as_py()) if type_ == "category" else 0
    if levels >= LEVELS and name not in sample.spec.key:
        yield Finding(
            severity="warning", table=sample.name, column=name,
            seen=f"Declared category, seen {levels:,} different values in {sample.rows:,} rows.",
            todo="A model learns little from values that hardly repeat. Declare it string, and make features of what "
            "is in it, or of trailing aggregates by it.",
        )  # fmt: skip


def _mend(sample: Sample, name: str, type_: ColumnType, values: pa.ChunkedArray, bad: Iterable[bool]) -> str:
    """What to do about values that do not convert."""
    import pyarrow as pa
    import pyarrow.compute as pc

    refused, options = _refused(sample.spec.source["kind"]), SOURCES[sample.spec.source["kind"]].model_fields
    if sample.fit and is_text(values.type):
        return f"{refused}Declare it string; a derived column can be what is in it: `of: cast({quoted(name)} as date)`."
    if is_text(values.type) and type_ in ("int64", "float64", "bool"):
        texts = pc.unique(values.filter(pa.array(bad)).drop_null())
        if type_ == "int64" and not convert(pa.chunked_array([texts]), "float64").bad.any():
            return f"{refused}Declare it float64."
        if len(texts) <= 3 and "null_values" in options:
            nulls = ", ".join(f'"{text}"' for text in ("", *texts.to_pylist()))
            return f"{refused}If that means a missing value: `tables.{sample.name}.source.null_values: [{nulls}]`."
        return f"{refused}Declare it string, or mend the source."
    if type_ in ("timestamp", "date") and is_text(values.type):
        if "date_formats" in options:
            return (
                f"{refused}Times are read as ISO 8601, such as 2024-03-01T04:00:00Z; for another form set "
                f"`tables.{sample.name}.source.date_formats: {{{quoted(name)}: '%d.%m.%Y %H:%M'}}`."
            )
        return (
            f"{refused}Times are read as ISO 8601, such as 2024-03-01T04:00:00Z. For another form declare it string "
            f"and add a derived column: `at: strptime({quoted(name)}, '%d.%m.%Y %H:%M')`."
        )
    if type_ == "timestamp":
        if "epoch" in options and pa.types.is_integer(values.type):
            return f"{refused}If it counts from 1970: `tables.{sample.name}.source.epoch: seconds` (or milliseconds)."
        return (
            f"{refused}Declare it int64 and add a derived column, for seconds since 1970: "
            f"`at: make_timestamp({quoted(name)} * 1000000)`."
        )
    if type_ == "date":
        return f"{refused}Declare it timestamp; a derived column can take the day: `cast({quoted(name)} as date)`."
    fitting = _fitting(sample, values)
    return f"{refused}Declare it {fitting}." if fitting else f"{refused}Mend the source: no type takes all of them."


def _refused(kind: str) -> str:
    if kind == "kafka":
        return "Each message with such a value is set aside. "
    what = "file" if issubclass(SOURCES[kind], FileSource) else "delivery"
    return f"A {what} with one such value is refused as a whole. "


def _fitting(sample: Sample, values: pa.ChunkedArray) -> ColumnType | None:
    """The narrowest type that takes all values; whole floats are numbers that may have fractions."""
    import pyarrow as pa

    whole: tuple[ColumnType, ...] = () if pa.types.is_floating(values.type) else ("bool", "int64")
    types: tuple[ColumnType, ...] = (*whole, "float64", "date", "timestamp", "string")
    return next((type_ for type_ in types if not convert(values, type_, sample.fit).bad.any()), None)
