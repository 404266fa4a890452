"""Every expression of params.yaml, held against the declared columns: what a wrong one costs is a message, no run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from evergreen.errors import ParamsError
from evergreen.features.labels import LABEL, label_by
from evergreen.features.outcomes import WANTED, advice
from evergreen.lake.schema import DUCKDB_TYPES
from evergreen.params.features import View
from evergreen.sql import expand, quote

if TYPE_CHECKING:
    import duckdb

    from evergreen.params import Params
    from evergreen.params.prediction import Kind

OURS = ("_key", "_time", *LABEL, "_known_at", "_version", "_row", "_rule")
NUMBER = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
          "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN", "NULL")  # fmt: skip
MOMENT = ("TIMESTAMP", "DATE", "NULL")
OUTCOME: Mapping[Kind, tuple[str, ...]] = {
    "binary": ("BOOLEAN", "NULL"),
    "multiclass": ("VARCHAR", "ENUM", "NULL", *(name for name in NUMBER if name.endswith("INT") or "INTEGER" in name)),
    "regression": tuple(name for name in NUMBER if name != "BOOLEAN"),
}


def check_expressions(params: Params) -> None:
    """Raise ParamsError naming the place of the first expression or column that cannot work; needs no data."""
    tables = {name: _columns(params, name) for name in params.tables}
    for name, spec in params.tables.items():
        check = _Check(params, tables[name])
        check.type_(spec.known_at, f"tables.{name}.known_at", MOMENT)
        if spec.changed_at is not None:
            check.type_(spec.changed_at, f"tables.{name}.changed_at", MOMENT)
    _check_label(params, tables)
    rows = dict(tables[params.prediction.rows])
    _Check(params, rows).type_(params.prediction.at, "prediction.at", MOMENT)
    made = _check_views(params, tables)
    _check_names(params, rows, made)
    every = _Check(params, rows | made)
    for name, text in params.features.row.items():
        made[name] = every.type_(text, f"features.row.{name}")
    for name in params.features.names():
        allowed = (*NUMBER, "TIMESTAMP") if name in params.features.times else NUMBER
        if name not in params.features.categorical and not made[name].startswith(allowed):
            raise ParamsError(
                f"the feature `{name}` is {made[name]}: make it a number or true/false, or list it under "
                "features.categorical, or a moment under features.times"
            )


class _Check:
    """Expressions over one set of columns, bound by DuckDB to a table without rows."""

    def __init__(self, params: Params, columns: Mapping[str, str]) -> None:
        self.zone, self.columns = params.time_zone, columns
        self.con = _connection()
        typed = ", ".join(f"null::{type_} as {quote(name)}" for name, type_ in columns.items() if type_ != "NULL")
        untyped = "".join(f", null as {quote(name)}" for name, type_ in columns.items() if type_ == "NULL")
        self.rows = f"(select {typed}{untyped} where false)"

    def type_(self, text: str, place: str, allowed: tuple[str, ...] | None = None) -> str:
        """The DuckDB type of an expression; ParamsError where it is none, or of a type that is not allowed."""
        import duckdb

        sql = expand(text, self.zone, self.columns, place)
        try:
            found = str(self.con.sql(f"select {sql} as x from {self.rows}").types[0]).strip('"')
        except duckdb.Error as error:
            raise ParamsError(f"{place}: `{text}` cannot be computed: {str(error).splitlines()[0]}") from None
        if allowed is not None and not found.startswith(allowed):
            wanted = "a timestamp" if allowed == MOMENT else "a number or true/false"
            raise ParamsError(f"{place}: `{text}` is {found}, and must be {wanted}")
        return found


def _connection() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(config={"threads": 1})


def _columns(params: Params, name: str) -> dict[str, str]:
    """Types of a table's declared and derived columns."""
    spec = params.tables[name]
    declared = {column: DUCKDB_TYPES[rule.type] for column, rule in spec.columns.items()}
    check = _Check(params, declared)
    derived = {new: check.type_(text, f"tables.{name}.derived.{new}") for new, text in spec.derived.items()}
    _check_distinct([*declared, *derived], f"tables.{name}")
    for column in (*declared, *derived):
        if column.lower() in OURS or column.startswith("__"):
            raise ParamsError(f"tables.{name}: the column name `{column}` is taken by Evergreen; rename it")
    return declared | derived


def _check_label(params: Params, tables: Mapping[str, Mapping[str, str]]) -> None:
    label, check = params.prediction.label, _Check(params, tables[params.label_table])
    found = check.type_(label.value, "prediction.label.value")
    if not found.startswith(OUTCOME[label.kind]):
        raise ParamsError(
            f"prediction.label.value: `{label.value}` is {found}, and must be {WANTED[label.kind]}"
            f"{advice(found, label.kind)}"
        )
    if label.known_at is not None:
        check.type_(label.known_at, "prediction.label.known_at", MOMENT)
    sides = tables[params.label_table], tables[params.prediction.rows]
    _check_by(label_by(params).items(), sides, (params.label_table, params.prediction.rows), "prediction.label.by")


def _check_views(params: Params, tables: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Types of the features that views make."""
    made: dict[str, str] = {}
    for name, latest in params.features.latest.items():
        check = _check_view(params, tables, latest, latest.table or name, f"features.latest.{name}")
        for feature, text in latest.expressions().items():
            made[feature] = check.type_(text, f"features.latest.{name}.{feature}")
    for name, trailing in params.features.trailing.items():
        check = _check_view(params, tables, trailing, str(trailing.table), f"features.trailing.{name}")
        any_type = trailing.aggregate in ("count", "last")
        place = f"features.trailing.{name}.{trailing.aggregate}"
        type_ = check.type_(trailing.expression, place, None if any_type else NUMBER)
        made[name] = type_ if trailing.aggregate == "last" else "DOUBLE"
    return made


def _check_view(params: Params, tables: Mapping[str, Mapping[str, str]], view: View, table: str, place: str) -> _Check:
    rows = params.prediction.rows
    _check_by(view.pairs(), (tables[table], tables[rows]), (table, rows), f"{place}.by")
    check = _Check(params, tables[table])
    if view.known_at is not None:
        check.type_(view.known_at, f"{place}.known_at", MOMENT)
    return check


def _check_by(
    pairs: Collection[tuple[str, str]],
    sides: tuple[Mapping[str, str], Mapping[str, str]],
    names: tuple[str, str],
    place: str,
) -> None:
    """The columns exist on both sides and have one type, since equal values of two types may differ."""
    for pair in pairs:
        for column, side, name in zip(pair, sides, names, strict=True):
            if column not in side:
                raise ParamsError(f"{place}: `{column}` is not a column of `{name}`; known: {', '.join(side)}")
        theirs, mine = (side[column] for column, side in zip(pair, sides, strict=True))
        if theirs != mine:
            raise ParamsError(
                f"{place}: `{names[0]}.{pair[0]}` is {theirs} and `{names[1]}.{pair[1]}` is {mine}; "
                "add a `derived` column that casts one of them"
            )


def _check_names(params: Params, rows: Mapping[str, str], made: Mapping[str, str]) -> None:
    """A row expression must be able to tell a view's feature from a column; SQL does not tell case."""
    known = {column.lower() for column in rows}
    for name in made:
        if name.lower() in known:
            raise ParamsError(
                f"the feature `{name}` has the name of a column of `{params.prediction.rows}`; call it something else"
            )
    for name in params.features.all_names():
        if name.lower() in OURS or name.startswith("__"):
            raise ParamsError(f"the feature name `{name}` is taken by Evergreen; rename it")
    _check_distinct(params.features.all_names(), "features")


def _check_distinct(names: list[str], place: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise ParamsError(f"{place}: `{other}` and `{name}` differ in case only, which SQL does not tell apart")
