"""Which columns the features use, and in which way: of the row itself, or through a view of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evergreen.params.features import View
from evergreen.sql import quote

if TYPE_CHECKING:
    from evergreen.params import Params
    from evergreen.params.tables import Table


@dataclass(frozen=True)
class ViewUse:
    """A view as its table sees it: the features it makes, the columns they are made of, its own `known_at`."""

    place: str
    table: str
    columns: frozenset[str]
    known_at: str | None


def columns_in(text: str, spec: Table) -> frozenset[str]:
    """The table's columns that an expression names, with those that its derived ones are made of."""
    import sqlglot
    from sqlglot import exp

    spelled = {name.lower(): name for name in (*spec.columns, *spec.derived)}
    named = {column.name.lower() for column in sqlglot.parse_one(text, dialect="duckdb").find_all(exp.Column)}
    found = {spelled[name] for name in named if name in spelled}
    inner = [columns_in(spec.derived[name], spec) for name in found if name in spec.derived]
    return frozenset(found).union(*inner)


def row_uses(params: Params) -> dict[str, frozenset[str]]:
    """Row feature to the rows' columns in it."""
    spec = params.tables[params.prediction.rows]
    return {name: columns_in(text, spec) for name, text in params.features.row.items()}


def own_row_features(params: Params) -> dict[str, str]:
    """The row features that need no view: their expressions, by name."""
    import sqlglot
    from sqlglot import exp

    spec = params.tables[params.prediction.rows]
    known = {name.lower() for name in (*spec.columns, *spec.derived)}
    found = {}
    for name, text in params.features.row.items():
        named = {column.name.lower() for column in sqlglot.parse_one(text, dialect="duckdb").find_all(exp.Column)}
        if named and named <= known:
            found[name] = text
    return found


def view_uses(params: Params, table: str) -> Iterator[ViewUse]:
    """The views of one table."""
    for name, latest in params.features.latest.items():
        yield from _use(params, table, f"features.latest.{name}", latest, latest.table or name, latest.expressions())
    for name, trailing in params.features.trailing.items():
        made = {name: trailing.expression}
        yield from _use(params, table, f"features.trailing.{name}", trailing, str(trailing.table), made)


def _use(params: Params, table: str, place: str, view: View, of: str, made: dict[str, str]) -> Iterator[ViewUse]:
    if of == table:
        spec = params.tables[table]
        columns = frozenset().union(*(columns_in(text, spec) for text in made.values()))
        yield ViewUse(place, table, columns, view.known_at)


def quoted(name: str) -> str:
    """A column as params.yaml must write it in SQL."""
    return name if name.isidentifier() and name.isascii() else quote(name)
