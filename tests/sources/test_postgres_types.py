"""Each PostgreSQL type as the lake's types read it, through the real driver, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from evergreen.errors import SourceError
from evergreen.sources.postgres_session import Session, literal
from evergreen.sources.postgres_table import PgTable, find_table
from evergreen.sources.postgres_types import PgColumn
from tests.servers import PostgresServer

READ = [
    ("smallint", "-7", "int64", -7),
    ("integer", "7", "float64", 7.0),
    ("bigint", "9223372036854775807", "int64", 9223372036854775807),
    ("integer", "7", "string", "7"),
    ("numeric(12,2)", "1500.00", "int64", 1500),
    ("numeric(12,2)", "0.10", "float64", 0.1),
    (
        "numeric(40,20)",
        "12345678901234567890.00000000000000000001",
        "string",
        "12345678901234567890.00000000000000000001",
    ),
    ("numeric", "Infinity", "float64", float("inf")),
    ("real", "0.5", "float64", 0.5),
    ("double precision", "0.1", "string", "0.1"),
    ("boolean", "t", "bool", True),
    ("text", "a 'b' \\ \"c\"\n", "string", "a 'b' \\ \"c\"\n"),
    ("char(5)", "ab", "category", "ab"),
    ("varchar(9)", "é", "category", "é"),
    ("timestamptz", "2013-06-01 12:00+02", "timestamp", datetime(2013, 6, 1, 10)),
    ("timestamp", "2013-06-01 12:00:00.000001", "timestamp", datetime(2013, 6, 1, 12, 0, 0, 1)),
    ("timestamptz", "2013-06-01 12:00+02", "string", "2013-06-01 10:00:00+00"),
    ("date", "2013-06-01", "timestamp", datetime(2013, 6, 1)),
    ("date", "2013-06-01", "date", date(2013, 6, 1)),
    ("text[]", '{a,"b,c",NULL}', "string", '["a","b,c",null]'),
    ("int[]", "{{1,2},{3,4}}", "string", "[[1,2],[3,4]]"),
    ("json", '{"a":  1}', "string", '{"a":  1}'),
    ("jsonb", '{"a":  1}', "string", '{"a": 1}'),
    ("bytea", "\\x00ff", "string", "00ff"),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "string", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("types.mood", "glad", "category", "glad"),
    ("types.age", "12", "int64", 12),
    ("interval", "1 day 2 hours", "string", "P1DT2H"),
    ("inet", "10.0.0.1/8", "string", "10.0.0.1/8"),
    ("int4range", "[1,3)", "string", "[1,3)"),
    ("money", "12.5", "string", "$12.50"),
]


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer) -> PostgresServer:
    postgres_server.run(
        "DROP SCHEMA IF EXISTS types CASCADE",
        "CREATE SCHEMA types",
        "CREATE TYPE types.mood AS ENUM ('sad', 'glad')",
        "CREATE DOMAIN types.small AS int CHECK (VALUE < 1000)",
        "CREATE DOMAIN types.age AS types.small CHECK (VALUE >= 0)",
    )
    return postgres_server


@pytest.fixture
def session(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", server.uri)
    with Session("warehouse", "types.one", timedelta(minutes=1)) as session:
        yield session


def make(server: PostgresServer, session: Session, type_: str, *values: str) -> PgTable:
    rows = [f"({literal(value)})" for value in values] + ["(NULL)"]
    server.run(
        "DROP TABLE IF EXISTS types.one", f'CREATE TABLE types.one ("a ""b""" {type_})',
        f"INSERT INTO types.one VALUES {', '.join(rows)}",
    )  # fmt: skip
    return find_table(session, "types.one")


def read(session: Session, table: PgTable, wanted: Any, infinite: Any = "refuse") -> list[Any]:
    columns = table.select({'a "b"': wanted}, infinite)
    with session.transaction(), closing(session.stream(f"SELECT {columns} FROM {table.name}")) as stream:
        return [value for batch in stream for value in batch.column(0).to_pylist()]


@pytest.mark.parametrize(("type_", "text", "wanted", "value"), READ, ids=lambda part: str(part)[:20])
def test_a_value_is_read_and_null_stays_null(
    server: PostgresServer, session: Session, type_: str, text: str, wanted: str, value: Any
) -> None:
    assert read(session, make(server, session, type_, text), wanted) == [value, None]


def test_not_a_number_is_read_as_such(server: PostgresServer, session: Session) -> None:
    values = read(session, make(server, session, "numeric", "NaN"), "float64")
    assert values[0] != values[0]


@pytest.mark.parametrize(
    ("type_", "text", "wanted", "words"),
    [
        ("timestamptz", "infinity", "timestamp", 'infinity in column a "b" cannot be held'),
        ("timestamp", "-infinity", "timestamp", "-infinity in column"),
        ("date", "infinity", "date", "infinity in column"),
        ("timestamp", "294270-01-01", "timestamp", "294270-01-01 00:00:00 in column"),
        ("numeric", "1.5", "int64", '1.5 in column a "b" is not a whole number'),
        ("numeric", "1e30", "int64", "bigint out of range"),
        ("numeric", "NaN", "int64", "cannot convert NaN to bigint"),
        ("numeric", "1e400", "float64", "out of range"),
    ],
)
def test_a_value_that_the_lake_cannot_hold_is_named(
    server: PostgresServer, session: Session, type_: str, text: str, wanted: str, words: str
) -> None:
    with pytest.raises(SourceError) as caught:
        read(session, make(server, session, type_, text), wanted)
    assert words in str(caught.value)


@pytest.mark.parametrize(("type_", "wanted"), [("timestamptz", "timestamp"), ("date", "date"), ("date", "timestamp")])
def test_infinity_may_be_a_missing_value(server: PostgresServer, session: Session, type_: str, wanted: str) -> None:
    table = make(server, session, type_, "infinity", "2013-06-01", "-infinity")
    values = read(session, table, wanted, "missing")
    assert [value is None for value in values] == [True, False, True, True]


@pytest.mark.parametrize(
    ("type_", "wanted", "natural"),
    [("text", "int64", "string"), ("timestamp", "date", "timestamp"), ("integer", "bool", "int64"),
     ("uuid", "timestamp", "string"), ("int[]", "int64", "string")],
)  # fmt: skip
def test_a_column_of_another_kind_is_named_with_what_to_declare(
    server: PostgresServer, session: Session, type_: str, wanted: Any, natural: str
) -> None:
    table = make(server, session, type_)
    with pytest.raises(SourceError, match=rf"cannot be read as {wanted}: declare {natural}"):
        table.select({'a "b"': wanted}, "refuse")


def test_every_type_has_a_natural_reading() -> None:
    for type_ in ("bigint", "numeric", "boolean", "date", "timestamp with time zone", "jsonb", "point"):
        column = PgColumn("x", type_)
        assert column.read_as(column.natural, "refuse") is not None
