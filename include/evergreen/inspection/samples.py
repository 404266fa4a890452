"""Samples of the tables: read from their sources, typed as declared, and expressions evaluated on them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import SourceError
from evergreen.inspection.convert import convert
from evergreen.lake.schema import arrow_schema, arrow_type
from evergreen.sources.base import Request
from evergreen.sources.catalog import open_source
from evergreen.sql import expand, quote

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from evergreen.params.tables import Table
    from evergreen.project import Project
    from evergreen.sources.base import Fit

_NUMBER = "__n"
MOMENT = "TIMESTAMP"


class NotRead(str):
    """Why a source could not be read, where a plain text says why it has no rows."""


@dataclass(frozen=True)
class Sample:
    """The first rows of one table: as seen, and the declared columns in their declared types (absent ones null)."""

    name: str
    spec: Table
    time_zone: str
    seen: pa.Table
    typed: pa.Table
    bad: Mapping[str, np.ndarray[Any, Any]]  # declared column to the rows whose value does not go into its type
    fit: Fit | None  # the source's

    @classmethod
    def of(cls, name: str, spec: Table, time_zone: str, seen: pa.Table) -> Sample:
        """The sample of `seen`, whose rows keep their order."""
        import pyarrow as pa

        typed, bad, fit = {}, {}, open_source(name, spec.source).fit
        for column, declared in spec.columns.items():
            if column in seen.column_names:
                typed[column], bad[column] = convert(seen.column(seen.column_names.index(column)), declared.type, fit)
            else:
                typed[column] = pa.chunked_array([pa.nulls(seen.num_rows, arrow_type(declared.type))])
        return cls(name, spec, time_zone, seen, pa.table(typed, schema=arrow_schema(spec.columns)), bad, fit)

    @property
    def rows(self) -> int:
        return int(self.seen.num_rows)

    @property
    def undeclared(self) -> dict[str, pa.ChunkedArray]:
        """The columns that params.yaml does not name."""
        names = [name for name in self.seen.column_names if name not in self.spec.columns]
        return {name: self.seen.column(self.seen.column_names.index(name)) for name in names}

    def evaluate(self, expressions: Mapping[str, tuple[str, str]], type_: str | None = None) -> pa.Table:
        """Expressions (each with its place in params.yaml) over the declared and derived columns, row by row.

        A value that cannot be computed, or that is no `type_`, is null; so is a moment that is infinite.
        """
        import duckdb
        import pyarrow as pa

        if not expressions:
            return pa.table({})
        columns = [*self.spec.columns, *self.spec.derived]
        derived = "".join(
            f", TRY({expand(text, self.time_zone, self.spec.columns)}) AS {quote(name)}"
            for name, text in self.spec.derived.items()
        )
        wanted = []
        for name, (text, place) in expressions.items():
            value = expand(text, self.time_zone, columns, place)
            value = f"TRY(CAST({value} AS {type_}))" if type_ else f"TRY({value})"
            if type_ == MOMENT:
                value = f"CASE WHEN isfinite({value}) THEN {value} END"
            wanted.append(f"{value} AS {quote(name)}")
        con = duckdb.connect(config={"threads": 1})
        con.execute("SET TimeZone = 'UTC'")
        con.register("sampled", self.typed.append_column(_NUMBER, pa.array(range(self.rows))))
        query = f"SELECT {', '.join(wanted)} FROM (SELECT *{derived} FROM sampled) ORDER BY {_NUMBER}"
        return con.execute(query).to_arrow_table()

    def moments(self, text: str, place: str) -> np.ndarray[Any, Any]:
        """An expression as datetime64[us]; NaT where it has no value."""
        found: np.ndarray[Any, Any] = self.evaluate({"x": (text, place)}, MOMENT)["x"].to_numpy()
        return found.astype("datetime64[us]")

    def known_at(self) -> np.ndarray[Any, Any]:
        """When each row became known, as the table says."""
        return self.moments(self.spec.known_at, f"tables.{self.name}.known_at")

    def derived(self) -> pa.Table:
        """The derived columns."""
        return self.evaluate({name: (quote(name), f"tables.{self.name}.derived.{name}") for name in self.spec.derived})


def take_sample(project: Project, name: str, rows: int, as_of: datetime) -> Sample | str:
    """About the first `rows` rows of a table, or why there are none."""
    try:
        return read_sample(project, name, rows, as_of)
    except SourceError as error:
        return NotRead(error)


def read_sample(project: Project, name: str, rows: int, as_of: datetime) -> Sample | str:
    """The same, but SourceError where the source cannot be read."""
    spec = project.params.tables[name]
    with _told() as told:
        seen = first_rows(project, name, rows, as_of)
    if seen is None or not seen.num_rows:
        reasons = [text.removeprefix(f"{name}: ") for text in told]
        return "; ".join(reasons) or "the source has no rows yet"
    return Sample.of(name, spec, project.params.time_zone, seen)


def first_rows(project: Project, name: str, rows: int, as_of: datetime) -> pa.Table | None:
    """About the first `rows` rows of a table as its source shows them. Raises SourceError."""
    spec = project.params.tables[name]
    return open_source(name, spec.source).sample(Request(project.root, name, arrow_schema(spec.columns), as_of), rows)


class _Listener(logging.Handler):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


@contextmanager
def _told() -> Iterator[list[str]]:
    """What the sources log meanwhile: it becomes part of the report, and is not printed beside it."""
    logger, listener = logging.getLogger("evergreen.sources"), _Listener()
    propagates = logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield listener.told
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagates
