"""Reading PostgreSQL by a column that only grows: what it does, and what it is known to miss."""

from __future__ import annotations

from datetime import timedelta

import pytest

from evergreen.errors import ParamsError, SourceError
from evergreen.lake.schema import arrow_schema
from evergreen.sources.base import Request
from evergreen.sources.catalog import open_source
from evergreen.sources.postgres_session import Session
from tests.sources.postgres_worlds import AS_OF, TYPES, MakeWorld


def test_it_reads_in_pieces_and_then_what_is_higher(make_world: MakeWorld) -> None:
    world = make_world(cursor="id", chunk_rows=1000)
    world.insert(0, 2500)
    first = world.ingest()
    assert (first.rows, first.files) == (2500, 3)
    assert first.position["value"] == "2499"
    assert world.ingest().rows == 0
    world.insert(2500, 10)
    assert world.ingest().rows == 10
    world.assert_whole()


def test_rows_of_one_value_are_not_torn_apart(make_world: MakeWorld) -> None:
    world = make_world(cursor="due", chunk_rows=1000)
    world.insert(0, 2500)  # in one transaction, so at one time
    world.insert(2500, 10)
    result = world.ingest()
    assert (result.rows, result.files) == (2510, 2)
    world.update("id = 7")
    world.server.run(f"UPDATE {world.table} SET due = now() WHERE id = 7")
    assert world.ingest().rows == 1
    world.assert_whole()


def test_a_view_is_read(make_world: MakeWorld) -> None:
    world = make_world(cursor="id")
    world.insert(0, 10)
    world.server.run(f"CREATE VIEW {world.schema}.view AS SELECT * FROM {world.table} WHERE id % 2 = 0")
    world.redeclare(cursor="id", table=f"{world.schema}.view", where="id > 2")
    assert world.ingest().rows == 3


def test_what_it_misses_is_missed_without_a_lag_only(make_world: MakeWorld) -> None:
    world = make_world(cursor="due")
    with world.server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"INSERT INTO {world.table} (id) VALUES (1)")
        world.insert(2, 1)
        assert world.ingest().rows == 1
        cursor.execute("COMMIT")
    assert world.ingest().rows == 0  # row 1 is older than row 2: this is the caveat
    world.server.run(f"UPDATE {world.table} SET due = now() - interval '2 hours' WHERE id = 1")
    world.redeclare(cursor="due", lag="1 hour", where="true")
    assert world.ingest().rows == 1
    world.server.run(f"UPDATE {world.table} SET due = now() - interval '61 minutes' WHERE id = 2")
    assert world.ingest().rows == 1


def test_a_cursor_of_days_is_warned_of_and_waits_for_a_day_to_end_with_a_lag(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(cursor="day")
    world.server.run(f"ALTER TABLE {world.table} ADD COLUMN day date DEFAULT (now() AT TIME ZONE 'UTC')::date")
    world.insert(0, 1)
    assert world.ingest().rows == 1
    assert "what is written later on a day that was read is missed" in caplog.text
    world.insert(1, 1)
    assert world.ingest().rows == 0  # of the same day: this is the caveat
    caplog.clear()
    world.redeclare(cursor="day", lag="25 hours", where="true")
    world.server.run(f"UPDATE {world.table} SET day = day - 3 WHERE id = 0")
    assert world.ingest().rows == 1
    world.server.run(f"UPDATE {world.table} SET day = day - 2 WHERE id = 1")
    assert world.ingest().rows == 1
    assert "is missed" not in caplog.text
    world.redeclare(cursor="day", lag="1 hour", where="true")
    world.ingest()
    assert "what is written later on a day that was read is missed" in caplog.text


def test_another_cursor_starts_from_the_beginning_and_null_is_said_to_be_missing(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(cursor="id")
    world.insert(0, 10)
    world.ingest()
    world.server.run(f"UPDATE {world.table} SET due = NULL WHERE id = 3")
    world.redeclare(cursor="due")
    assert world.ingest().rows == 9
    assert "rows whose `due` is null are never read" in caplog.text
    world.redeclare()
    assert world.ingest().rows == 10


def test_a_column_that_is_declared_later_is_filled(make_world: MakeWorld) -> None:
    world = make_world(cursor="id")
    world.insert(0, 3)
    old = world.ingest().position
    more = {**TYPES, "filler": "string"}
    world.redeclare(cursor="id", types=more)
    assert world.ingest().rows == 3
    world.redeclare(cursor="id")
    world.insert(3, 3)
    assert world.ingest().rows == 3
    world.redeclare(cursor="id", types=more)
    assert world.ingest().rows == 6
    assert world.ingest().rows == 0

    source = open_source("jobs", world.project.params.tables["jobs"].source)
    schema = arrow_schema(world.project.params.tables["jobs"].columns)
    before = {key: value for key, value in old.items() if key != "columns"}  # as older versions wrote it
    request = Request(world.project.root, "jobs", schema, AS_OF, position=before)
    assert [batch.num_rows for one in source.deliveries(request) for batch in one.batches()] == [3]


def test_a_bad_cursor_is_named(make_world: MakeWorld) -> None:
    world = make_world(cursor="nothing")
    with pytest.raises(SourceError, match=r"has no column `nothing`, which `cursor` names\. Found: id, due"):
        world.ingest()
    world.redeclare(cursor="id", lag="1 hour")
    with pytest.raises(SourceError, match="`lag` needs a cursor of times"):
        world.ingest()
    with pytest.raises(ParamsError, match="`lag` needs `cursor`"):
        open_source("jobs", {"kind": "postgres", "connection": "c", "table": "t", "lag": "1 hour"})


def test_a_connection_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "mysql://me:secret@host/db")
    with pytest.raises(SourceError, match="this source needs postgres"):
        Session("warehouse", "jobs", timedelta(minutes=1))
