"""How a PostgreSQL type is read as a type of the lake: always by SQL, so that the server refuses what does not fit.

The driver reads `infinity` as a moment in the past and numeric as text; here each pair of types has one expression,
and a value that the lake cannot hold is an error that names its column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evergreen.params.tables import ColumnType
from evergreen.sources.postgres_session import identifier, literal

if TYPE_CHECKING:
    import pyarrow as pa

Infinite = Literal["refuse", "missing"]

INTEGERS = ("smallint", "integer", "bigint")
FLOATS = ("real", "double precision")
WITH_ZONE, WITHOUT_ZONE = "timestamp with time zone", "timestamp without time zone"
NATURAL: dict[str, ColumnType] = {
    **dict.fromkeys((*INTEGERS, "oid"), "int64"),
    **dict.fromkeys((*FLOATS, "numeric"), "float64"),
    **dict.fromkeys((WITH_ZONE, WITHOUT_ZONE), "timestamp"),
    "boolean": "bool",
    "date": "date",
}
# From year 294,247 on, microseconds since 1970 need more than 64 bits.
MOMENTS_END = "290000-01-01"


@dataclass(frozen=True)
class PgColumn:
    """A column as the server has it; a domain is the type below it."""

    name: str
    type: str  # as format_type writes it, without length or precision
    array: bool = False

    @property
    def natural(self) -> ColumnType:
        """The lake's type that holds its values best."""
        return NATURAL.get(self.type, "string")

    def read_as(self, wanted: ColumnType, infinite: Infinite) -> str | None:
        """The SQL expression whose values are of the lake's type; None where there is no such reading."""
        name = identifier(self.name)
        if wanted in ("string", "category"):
            return self._text(name)
        if wanted == "int64":
            return self._integer(name)
        if wanted == "float64" and self.type in (*INTEGERS, *FLOATS, "numeric"):
            return f"{name}::float8"
        if wanted == "bool" and self.type == "boolean":
            return name
        if wanted in ("timestamp", "date"):
            return self._moment(name, wanted, infinite)
        return None

    def _text(self, name: str) -> str:
        if self.array:
            return f"to_json({name})::text"
        return f"encode({name}, 'hex')" if self.type == "bytea" else f"{name}::text"

    def _integer(self, name: str) -> str | None:
        if self.type in INTEGERS:
            return name  # in its own width: `tight` makes it wide
        if self.type == "oid":
            return f"{name}::bigint"
        if self.type == "numeric":
            refused = self._refused("is not a whole number", "bigint")
            return f"CASE WHEN {name} = trunc({name}) THEN {name}::bigint ELSE {refused} END"
        return None

    def _moment(self, name: str, wanted: ColumnType, infinite: Infinite) -> str | None:
        day = self.type == "date"
        if not day and (wanted == "date" or self.type not in (WITH_ZONE, WITHOUT_ZONE)):
            return None
        fits = f"isfinite({name})" if day else f"{name} > '-infinity' AND {name} < '{MOMENTS_END}'"
        moment = f"{name} AT TIME ZONE 'UTC'" if self.type == WITH_ZONE else f"{name}::{wanted}"
        missing = f"WHEN NOT isfinite({name}) THEN NULL " if infinite == "missing" else ""
        refused = self._refused("cannot be held; for infinity see the option `infinite`", wanted)
        return f"CASE {missing}WHEN {fits} THEN {moment} ELSE {refused} END"

    def _refused(self, reason: str, type_: str) -> str:
        """An expression that fails for a value and says why; null stays null."""
        return f"({identifier(self.name)}::text || {literal(f' in column {self.name} {reason}')})::{type_}"


def select_list(columns: dict[str, PgColumn], wanted: dict[str, ColumnType], infinite: Infinite) -> str:
    """The expressions of all wanted columns, each under its own name. Raises ValueError naming what cannot be read."""
    parts, bad = [], []
    for name, type_ in wanted.items():
        expression = columns[name].read_as(type_, infinite)
        if expression is None:
            bad.append(
                f"`{name}` is {columns[name].type} and cannot be read as {type_}: declare {columns[name].natural}"
            )
        parts.append(f"{expression} AS {identifier(name)}")
    if bad:
        raise ValueError("; ".join(bad))
    return ", ".join(parts)


def declared_types(schema: pa.Schema) -> dict[str, ColumnType]:
    """The lake's type of each field, as `lake.schema.arrow_schema` made them."""
    import pyarrow as pa

    names: dict[pa.DataType, ColumnType] = {
        pa.int64(): "int64", pa.float64(): "float64", pa.bool_(): "bool", pa.string(): "string",
        pa.timestamp("us"): "timestamp", pa.date32(): "date",
    }  # fmt: skip
    return {field.name: names[field.type] for field in schema}
