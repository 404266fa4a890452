"""The SQL expressions of params.yaml: parsed, checked against the columns, and freed of our one extension.

They are DuckDB's. `local(moment)` is the moment in the use case's time zone, as a plain timestamp.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from evergreen.errors import ParamsError

_FOREIGN = (
    "now",
    "today",
    "get_current_timestamp",
    "transaction_timestamp",
    "random",
    "uuid",
    "gen_random_uuid",
    "nextval",
)


def expand(expression: str, time_zone: str, columns: Collection[str] | None = None, place: str = "expression") -> str:
    """The expression as plain DuckDB SQL, each column quoted as `columns` spells it.

    Raises ParamsError, naming `place`, where it does not parse, is no single expression, or names a column that is
    not in `columns` (None: not checked).
    """
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(expression, dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise ParamsError(f"{place}: `{expression}` is not a SQL expression: {_first_line(error)}") from None
    if not isinstance(tree, exp.Condition) or tree.find(exp.Query):
        raise ParamsError(f"{place}: `{expression}` must be one expression over a row, without a query")
    if foreign := next((node for node in tree.walk() if _is_foreign(node)), None):
        raise ParamsError(
            f"{place}: `{expression}` uses `{foreign.sql(dialect='duckdb')}`, which is not of the row alone: "
            "no aggregate, window, clock or random function"
        )
    if columns is not None:
        for column in tree.find_all(exp.Column):
            _check_column(column.name, columns, expression, place)
    return str(tree.transform(_localise, time_zone).sql(dialect="duckdb"))


def quote(name: str) -> str:
    """A column's name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def _check_column(name: str, columns: Collection[str], expression: str, place: str) -> None:
    if name.lower() in {column.lower() for column in columns}:
        return
    near = difflib.get_close_matches(name, list(columns), n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    raise ParamsError(f"{place}: `{expression}` names the column `{name}`; {hint}Known: {', '.join(columns)}")


def _is_foreign(node: object) -> bool:
    """Whether the value depends on other rows (which may not be known yet), on the wall clock or on chance."""
    from sqlglot import exp

    clocks = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Localtimestamp, exp.Localtime)
    if isinstance(node, (exp.Window, exp.AggFunc, exp.Rand, exp.Uuid, *clocks)):
        return True
    return isinstance(node, exp.Anonymous) and node.name.lower() in _FOREIGN


def _localise(node: object, time_zone: str) -> object:
    from sqlglot import exp

    if isinstance(node, exp.Anonymous) and node.name.lower() == "local" and len(node.expressions) == 1:
        inner = node.expressions[0].sql(dialect="duckdb")
        return exp.maybe_parse(f"timezone({literal(time_zone)}, timezone('UTC', {inner}))", dialect="duckdb")
    return node


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
