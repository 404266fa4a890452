"""The rows of the lake as they were known at a moment: one row per version, with when it became known.

Read from the manifests and the validation records, never from a folder listing, so what a killed run left behind
does not exist. Rows are numbered by the order in which they came: manifest, file, row.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evergreen.clock import naive
from evergreen.errors import ContractError
from evergreen.lake.manifests import read_manifests
from evergreen.lake.schema import DUCKDB_TYPES
from evergreen.quality.records import read_validations
from evergreen.sql import expand, literal, quote

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

    from evergreen.params import Params
    from evergreen.params.tables import Table
    from evergreen.project import Project


class CleanFile(NamedTuple):
    """A clean file, verified, in the order of arrival, and the `as_of` of the ingest that brought it."""

    path: str
    as_of: datetime


def known_rows(
    con: Backend,
    project: Project,
    as_of: datetime,
    tables: Iterable[str] | None = None,
    *,
    refuse: bool = True,
) -> dict[str, ir.Table]:
    """Per table the declared and derived columns, `_known_at` and `_version` (from 1) of what was known at `as_of`.

    The versions of a key follow each other by `changed_at` where the table declares it (null first), then by
    arrival; one that repeats the one before is none. The first is known at `known_at`. A later one is known at its
    `changed_at`, else at the `as_of` of the ingest that brought it, though never before its `known_at`. One that a
    later version overtakes, known before it, never counts: a `known_at` of a wrong year is mended by a correction. A
    version whose `known_at` is null is never known. Tables live as long as `con`.

    A table with a file that is not validated, or broke its contract critically, raises ContractError, since what it
    lacks would change features for good; `refuse` False leaves such files out instead (`refused_files` names them).
    A column that was declared after a file was validated raises it too, and a clean file that is missing or was
    altered LakeError.
    """
    names = list(project.params.tables if tables is None else tables)
    for name in names if refuse else ():
        require_validated(project, name)
    return {name: _known(con, project, name, naive(as_of)) for name in names}


def require_validated(project: Project, table: str) -> None:
    """Raise ContractError where a raw file of `table` has no validation record, or a critical one."""
    for raw, (origin, reason, way_out) in _unresolved(project, table).items():
        raise ContractError(f"{table}: {raw} ({origin}) {reason}; {way_out}")


def refused_files(project: Project, tables: Iterable[str]) -> list[str]:
    """What `known_rows` leaves out with `refuse` False, a line a file: the table, its origin's name, and why."""
    return [
        f"{table}: {origin or raw} {reason}"
        for table in tables
        for raw, (origin, reason, _) in _unresolved(project, table).items()
    ]


def _unresolved(project: Project, table: str) -> dict[str, tuple[str, str, str]]:
    """Raw file to the name of its origin, why it does not count, and what to do."""
    records = read_validations(project.lake, table)
    found = {}
    for file in (file for manifest in read_manifests(project.lake / "raw" / table) for file in manifest.files):
        record = records.get(file.path)
        if record is None:
            found[file.path] = file.origin, "has not been validated yet", f"run `evergreen validate {table}`"
        elif record.critical is not None:
            reason = f"broke its contract: {record.critical.rstrip('.')}"
            found[file.path] = file.origin, reason, (
                f"mend the contract in params.yaml and run `evergreen validate {table} --again`; or send a mended file "
                f"and discard this one: `evergreen validate {table} --discard {shlex.quote(file.origin or file.path)}`"
            )  # fmt: skip
    return found


def clean_files(project: Project, table: str) -> list[CleanFile]:
    """The clean files that count, in order of arrival; raises LakeError and ContractError as `known_rows` does."""
    records = read_validations(project.lake, table)
    found = []
    for manifest in read_manifests(project.lake / "raw" / table):
        for file in manifest.files:
            record = records.get(file.path)
            clean = record.require_clean(project.lake, table) if record is not None else None
            if clean is not None:
                _require_columns(clean, table, project.params.tables[table])
                found.append(CleanFile(str(clean), naive(manifest.as_of)))
    return found


def _require_columns(clean: Path, table: str, spec: Table) -> None:
    import pyarrow.parquet as pq

    if missing := [name for name in spec.columns if name not in pq.read_schema(clean).names]:
        raise ContractError(
            f"{table}: the column `{'`, `'.join(missing)}` was not declared when {clean.name} was validated; "
            f"run `evergreen validate {table} --again`"
        )


def derived_columns(params: Params, table: str) -> str:
    """SQL of the derived columns as a continuation of a select list: `, <expression> as "name"`..., or nothing."""
    spec = params.tables[table]
    return "".join(
        f", {expand(text, params.time_zone, spec.columns, f'tables.{table}.derived.{name}')} as {quote(name)}"
        for name, text in spec.derived.items()
    )


def _known(con: Backend, project: Project, name: str, as_of: datetime) -> ir.Table:
    spec, files = project.params.tables[name], clean_files(project, name)
    made = f"__known_{project.name}_{name}_{as_of:%Y%m%d%H%M%S%f}"
    source = (
        _read(con, files, spec, made)
        if files
        else empty_rows(spec, __row="BIGINT", __file="BIGINT", __as_of="TIMESTAMP")
    )
    con.raw_sql(f"create or replace temp table {quote(made)} as {_versions(source, project.params, name, as_of)}")
    return con.table(made)


def _read(con: Backend, files: list[CleanFile], spec: Table, made: str) -> str:
    """SQL of the files' rows with `__file` (order of arrival) and `__as_of`."""
    arrival = quote(f"{made}_files")
    values = ", ".join(
        f"({literal(path)}, {position}, timestamp {literal(as_of.isoformat(' '))})"
        for position, (path, as_of) in enumerate(files)
    )
    con.raw_sql(f"create or replace temp table {arrival} as select * from (values {values}) v(path, __file, __as_of)")
    paths = ", ".join(literal(file.path) for file in files)
    columns = ", ".join(quote(column) for column in spec.columns)
    return (
        f"select {columns}, _row as __row, __file, __as_of "
        f"from read_parquet([{paths}], filename = '__path') join {arrival} on path = __path"
    )


def empty_rows(spec: Table, **extra: str) -> str:
    """SQL of no rows, with the declared columns and `extra` ones (name to SQL type)."""
    types = {name: DUCKDB_TYPES[column.type] for name, column in spec.columns.items()} | extra
    return "select " + ", ".join(f"null::{type_} as {quote(name)}" for name, type_ in types.items()) + " where false"


def _versions(source: str, params: Params, name: str, as_of: datetime) -> str:
    """SQL of the versions known at `as_of`; the sorting is spared for keys that came once."""
    spec = params.tables[name]
    columns: Mapping[str, Any] = {**spec.columns, **spec.derived}
    known = expand(spec.known_at, params.time_zone, columns, f"tables.{name}.known_at")
    changed = "null"
    if spec.changed_at is not None:
        changed = expand(spec.changed_at, params.time_zone, columns, f"tables.{name}.changed_at")
    key = ", ".join(map(quote, spec.key))
    same_key = " and ".join(f"a.{quote(c)} is not distinct from m.{quote(c)}" for c in spec.key)
    others = [quote(c) for c in spec.columns if c not in spec.key]
    same = " and ".join(f"{c} is not distinct from lag({c}) over w" for c in others) or "true"
    every = ", ".join(map(quote, columns))
    return f"""
        with arrived as (select *{derived_columns(params, name)} from ({source})),
        timed as materialized (
            select *, ({known})::timestamp as __known, ({changed})::timestamp as __changed from arrived
            where ({known}) is not null
        ),
        often as materialized (select {key} from timed group by all having count(*) > 1),
        once as (select {every}, __known as _known_at, 1::bigint as _version
                 from timed a anti join often m on {same_key}),
        compared as (
            select *, row_number() over w > 1 and {same} as __same from timed a semi join often m on {same_key}
            window w as (partition by {key} order by __changed nulls first, __file, __row)
        ),
        numbered as (
            select *, row_number() over (
                partition by {key} order by __changed nulls first, __file, __row) as _version
            from compared where not __same
        ),
        moved as (
            select {every}, _version,
                case when _version = 1 then __known else greatest(coalesce(__changed, __as_of), __known) end
                as _known_at
            from numbered
        ),
        several as (
            select {every}, _known_at, _version from moved
            qualify coalesce(_known_at <= min(_known_at) over (
                partition by {key} order by _version rows between 1 following and unbounded following), true)
        )
        select * from (select * from once union all select * from several)
        where _known_at <= timestamp {literal(as_of.isoformat(" "))}
    """
