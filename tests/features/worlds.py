"""A small use case for feature tests: `asks` are predicted, `events` are observed; times are whole minutes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from evergreen.features.engine import connect, new_name
from evergreen.params import Params, load_params_text
from tests.features.reference import Event, minute

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

PARAMS = """
name: asks
tables:
  asks:
    source: {kind: csv, path: x}
    key: [id]
    known_at: at
    columns: {id: {type: int64}, at: {type: timestamp}, who: {type: category}, extra: {type: float64}}
  events:
    source: {kind: csv, path: x}
    key: [id]
    known_at: own
    columns:
      id: {type: int64}
      own: {type: timestamp}
      who: {type: category}
      value: {type: float64}
      late: {type: bool}
prediction: {rows: asks, at: at, label: {table: events, value: value > 1, by: {id: id}}}
features:
FEATURES
training: {estimator: logistic}
"""


def params(features: str) -> Params:
    """The use case with these features (indented YAML)."""
    return load_params_text(PARAMS.replace("FEATURES", features))


def asks(rows: Iterable[tuple[int, str | None]], known: int = 0) -> pa.Table:
    """Asks number 0, 1, ... of (minute, who), all known at minute `known`."""
    listed = list(rows)
    return pa.table(
        {
            "id": pa.array(range(len(listed)), pa.int64()),
            "at": pa.array([minute(at) for at, _ in listed], pa.timestamp("us")),
            "who": pa.array([who for _, who in listed], pa.string()),
            "extra": pa.array([float(at) for at, _ in listed], pa.float64()),
            "_known_at": pa.array([minute(known) for _ in listed], pa.timestamp("us")),
            "_version": pa.array([1] * len(listed), pa.int64()),
        }
    )


def observed(events: Sequence[Event]) -> pa.Table:
    """The events as `known_rows` would give them."""

    def column(values: Iterable[Any], type_: pa.DataType) -> pa.Array:
        return pa.array(list(values), type_)

    return pa.table(
        {
            "id": column((e.id for e in events), pa.int64()),
            "own": column((None if e.own is None else minute(e.own) for e in events), pa.timestamp("us")),
            "who": column((e.entity for e in events), pa.string()),
            "value": column((e.value for e in events), pa.float64()),
            "late": column((None if e.value is None else e.value > 1 for e in events), pa.bool_()),
            "_known_at": column((minute(e.known) for e in events), pa.timestamp("us")),
            "_version": column((e.version for e in events), pa.int64()),
        }
    )


def world(asked: pa.Table, events: Sequence[Event], con: Backend | None = None) -> dict[str, ir.Table]:
    """Both tables in a connection."""
    return load({"asks": asked, "events": observed(events)}, con or connect())


def load(tables: Mapping[str, pa.Table], con: Backend) -> dict[str, ir.Table]:
    """Arrow tables as temporary tables of the connection."""
    return {name: con.table(_loaded(table, con)) for name, table in tables.items()}


def _loaded(table: pa.Table, con: Backend) -> str:
    name = new_name()
    con.con.register(f"{name}_arrow", table)
    con.raw_sql(f"create temp table {name} as from {name}_arrow")
    con.con.unregister(f"{name}_arrow")
    return name
