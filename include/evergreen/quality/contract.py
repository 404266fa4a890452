"""A table's contract as a list of rules, and the hash that says which contract a file was checked against."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from evergreen.errors import ParamsError
from evergreen.params.base import format_duration
from evergreen.params.tables import Column, Severity, Table
from evergreen.sql import expand

# Raise it when the code below or beside it judges the same rows differently: every file is then outdated.
CHECKS_VERSION = 1
ROW, REASON = "_row", "_rule"  # the columns that clean and quarantine files have besides the declared ones
_SHOWN_VALUES = 8

Kind = Literal["nulls", "in", "between", "matches", "unique", "known_at", "ahead", "key"]


@dataclass(frozen=True)
class Rule:
    """One thing that every row must satisfy; `column` is None for a rule about the whole row."""

    kind: Kind
    column: str | None
    severity: Severity
    expected: str
    mostly: float = 1.0
    options: Any = None  # (low, high), the allowed values, or the pattern

    @property
    def label(self) -> str:
        """How a quarantined row names the rule: `size: between 0 and 1000`."""
        return f"{self.column or self.kind}: {self.expected}"

    @property
    def quarantines(self) -> bool:
        """Whether a row that breaks the rule leaves the table."""
        return self.severity != "warning"


def rules_of(name: str, table: Table, time_zone: str) -> list[Rule]:
    """The rules of the table `name`, in the order of its columns, then those of the row.

    Three are not written down. A key column is never null and every row has a `known_at`: both quarantine even where
    the column says `warning`, since such a row could neither be found nor placed in time. And a key comes once in a
    file, or with equal values: another row of it is a warning, since it counts as a correction of the one before and
    may be another thing under too short a key. Where the source states `changed_at` it sends versions: no warning.
    """
    if reserved := {ROW, REASON} & set(table.columns):
        raise ParamsError(
            f"tables.{name}.columns: `{', '.join(sorted(reserved))}` is reserved; rename it in the source"
        )
    rules = [
        rule
        for column, spec in table.columns.items()
        for rule in _column_rules(f"tables.{name}.columns.{column}", column, spec, column in table.key)
    ]
    expand(table.known_at, time_zone, [*table.columns, *table.derived], f"tables.{name}.known_at")
    rules.append(Rule("known_at", None, "error", f"`{table.known_at}` has a value"))
    if table.ahead is not None:
        limit = format_duration(table.ahead)
        rules.append(Rule("ahead", None, "error", f"`{table.known_at}` at most {limit} after the ingest"))
    if table.changed_at is None:
        rules.append(Rule("key", None, "warning", f"no other row of the same {', '.join(table.key)} in the file"))
    return rules


def _column_rules(place: str, column: str, spec: Column, is_key: bool) -> Iterable[Rule]:
    def rule(kind: Kind, expected: str, options: Any = None, severity: Severity = spec.severity) -> Rule:
        return Rule(kind, column, severity, expected, spec.mostly, options)

    if is_key:
        yield rule("nulls", "never null (key)", severity="error" if spec.severity == "warning" else spec.severity)
    elif spec.nulls == "never":
        yield rule("nulls", "never null")
    if spec.between is not None:
        low, high = spec.between
        if low is not None or high is not None:
            yield rule("between", _range_text(low, high), spec.between)
    if spec.in_ is not None:
        yield rule("in", _values_text(spec.in_), _typed_values(place, spec))
    if spec.matches is not None:
        yield rule("matches", f"matching {spec.matches}", _anchored(place, spec.matches))
    if spec.unique:
        yield rule("unique", "unique")


def _range_text(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high:.12g}"
    return f"at least {low:.12g}" if high is None else f"between {low:.12g} and {high:.12g}"


def _values_text(values: tuple[str | int, ...]) -> str:
    shown = ", ".join(str(value) for value in values[:_SHOWN_VALUES])
    return f"one of {shown}" + (f", ... ({len(values)} values)" if len(values) > _SHOWN_VALUES else "")


def _typed_values(place: str, spec: Column) -> tuple[Any, ...]:
    """The values as the checked frame holds them: numbers, else text as Arrow writes the column's type."""
    import pyarrow as pa

    from evergreen.lake.schema import arrow_type

    values = []
    for value in spec.in_ or ():
        try:
            scalar = pa.scalar(str(value)).cast(arrow_type(spec.type))
        except pa.ArrowInvalid:
            raise ParamsError(f"{place}.in: `{value}` is not a value of the type {spec.type}") from None
        values.append((scalar if spec.type in ("int64", "float64") else scalar.cast(pa.string())).as_py())
    return tuple(values)


def _anchored(place: str, pattern: str) -> str:
    anchored = rf"\A(?:{pattern})"
    try:
        re.compile(anchored)
    except re.error as error:
        raise ParamsError(f"{place}.matches: `{pattern}` is not a regular expression: {error}") from None
    return anchored


def contract_hash(table: Table, time_zone: str) -> str:
    """12 hex digits that change with whatever may change a file's verdict, the columns' order included."""
    body: dict[str, Any] = {
        "columns": [(name, column.model_dump(mode="json", by_alias=True)) for name, column in table.columns.items()],
        "key": table.key,
        "known_at": expand(table.known_at, time_zone),
        "derived": derived_of_known_at(table, time_zone),
        "quarantine": table.quarantine.model_dump(mode="json"),
        "version": CHECKS_VERSION,
    }
    if table.ahead is not None:
        body["ahead"] = format_duration(table.ahead)
    return _digest(body)


def derived_of_known_at(table: Table, time_zone: str) -> dict[str, str]:
    """The derived columns that the table's `known_at` names, as DuckDB SQL."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(table.known_at, dialect="duckdb")
    named = {column.name.lower() for column in tree.find_all(exp.Column)}
    return {name: expand(text, time_zone) for name, text in table.derived.items() if name.lower() in named}


def chained_hash(contract: str, table: Table, previous: tuple[str, str]) -> str:
    """What a file's result depends on besides its rows, given the (raw path, hash) of the file before it.

    With a `unique` column a verdict depends on the values that earlier files have taken, so their hashes are part of
    it: an earlier file's new contract outdates the later ones. Without one it is the contract alone.
    """
    if not any(column.unique for column in table.columns.values()):
        return contract
    return _digest([contract, *previous])


def _digest(body: object) -> str:
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
