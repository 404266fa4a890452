"""Which rows a PostgreSQL source reads: each version once, whatever else happens in the database meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from evergreen.errors import SourceError
from evergreen.lake.manifests import read_positioned
from evergreen.lake.raw import raw_folder
from evergreen.sources import postgres_position
from evergreen.sources.base import Request
from evergreen.sources.catalog import open_source
from evergreen.stages.ingest import DeliveriesRefused
from tests.servers import PostgresServer
from tests.sources.postgres_worlds import AS_OF, TYPES, MakeWorld, World


@contextmanager
def writing(server: PostgresServer) -> Iterator[Callable[[str], None]]:
    """A transaction that stays open until the block ends; what it executes, it does at once."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        yield lambda sql: cursor.execute(sql) and None
        cursor.execute("COMMIT")


def position(world: World) -> dict[str, Any]:
    return read_positioned(raw_folder(world.project.lake, "jobs"))[-1].position


def deliveries(world: World, **stored: Any) -> Iterator[Any]:
    from evergreen.lake.schema import arrow_schema

    table = world.project.params.tables["jobs"]
    request = Request(world.project.root, "jobs", arrow_schema(table.columns), AS_OF, **stored)
    return open_source("jobs", table.source).deliveries(request)


def test_a_first_read_comes_in_pieces_and_then_only_what_changed(make_world: MakeWorld) -> None:
    world = make_world(chunk_rows=1000)
    world.insert(0, 10_000)
    first = world.ingest()
    assert first.rows == 10_000
    assert first.files > 5
    assert first.position["first"] is None
    world.update("id % 100 = 0")
    world.insert(10_000, 5)
    second = world.ingest()
    assert (second.rows, second.files) == (105, 1)
    assert "changes from transaction" in str(second.last_origin)
    assert world.ingest().rows == 0
    world.assert_whole()


def test_what_changes_during_a_first_read_comes_once_and_in_its_last_version(make_world: MakeWorld) -> None:
    world = make_world(chunk_rows=1000)
    world.insert(0, 10_000)
    seen: list[tuple[int, int]] = []
    for number, delivery in enumerate(deliveries(world)):
        for batch in delivery.batches():
            seen += zip(batch["id"].to_pylist(), batch["version"].to_pylist(), strict=True)
        delivery.receipt()
        if number < 5:  # rows that were read and rows that were not; those that move to a block behind or before
            world.update(f"id % 10 = {number}")
            world.insert(20_000 + number * 100, 100)
            world.server.run(f"DELETE FROM {world.table} WHERE id % 1000 = {number + 500}")
            world.server.run(f"VACUUM {world.table}")  # blocks that became free are filled again
    assert len(seen) == len(set(seen))
    assert world.there() <= set(seen)


def test_a_transaction_that_commits_late_is_not_missed(make_world: MakeWorld) -> None:
    world = make_world()
    world.insert(0, 10)
    world.ingest()
    with writing(world.server) as execute:
        execute(f"INSERT INTO {world.table} (id) VALUES (100)")
        execute(f"UPDATE {world.table} SET version = 1 WHERE id = 1")
        world.insert(200, 10)  # later, and committed before
        assert world.ingest().rows == 10
        assert world.ingest().rows == 0
        world.insert(300, 10)
        assert world.ingest().rows == 10
    assert world.ingest().rows == 2
    world.assert_whole()


def test_a_transaction_that_is_open_when_the_first_read_begins(make_world: MakeWorld) -> None:
    world = make_world()
    with writing(world.server) as execute:
        execute(f"INSERT INTO {world.table} (id) VALUES (100)")
        world.insert(0, 10)
        assert world.ingest().rows == 10
    assert world.ingest().rows == 1
    world.assert_whole()


def test_rows_of_a_savepoint_are_not_missed(make_world: MakeWorld) -> None:
    """`pg_visible_in_snapshot` takes them for rows that were seen: it knows only whole transactions."""
    world = make_world()
    world.insert(0, 10)
    world.ingest()
    with writing(world.server) as execute:
        execute(f"INSERT INTO {world.table} (id) VALUES (100)")
        execute("SAVEPOINT one")
        execute(f"INSERT INTO {world.table} (id) VALUES (101)")
        execute("RELEASE SAVEPOINT one")
        world.insert(200, 1)
        snapshot = world.server.value("SELECT pg_current_snapshot()::text")
        assert world.ingest().rows == 1
    missed = world.server.value(
        f"SELECT count(*) FROM {world.table} WHERE id IN (100, 101) "
        f"AND pg_visible_in_snapshot(xmin::text::xid8, '{snapshot}')"
    )
    assert missed == 1
    assert world.ingest().rows == 2
    world.assert_whole()


def test_where_many_transactions_are_between_equal_rows_may_come_again_but_none_is_missed(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evergreen.sources.postgres_changes.SEEN_LIMIT", 3)
    world = make_world()
    world.insert(0, 10)
    world.ingest()
    with writing(world.server) as execute:
        execute(f"INSERT INTO {world.table} (id) VALUES (100)")
        for key in range(200, 205):
            world.insert(key, 1)
        world.ingest()
        assert position(world)["seen"] == []
    assert world.ingest().rows == 6
    world.assert_whole(repeats=True)


def test_an_update_with_equal_values_is_read_and_a_rewritten_file_is_not(make_world: MakeWorld) -> None:
    world = make_world()
    world.insert(0, 100)
    world.ingest()
    for command in ("VACUUM (FREEZE)", "VACUUM (FULL)", "VACUUM (FULL, FREEZE)", "ANALYZE"):
        world.server.run(f"{command} {world.table}")
        assert world.ingest().rows == 0, command
    world.server.run(f"CLUSTER {world.table} USING jobs_pkey", f"SELECT * FROM {world.table} FOR UPDATE")
    assert world.ingest().rows == 0
    world.server.run(f"UPDATE {world.table} SET version = version WHERE id < 3")
    assert world.ingest().rows == 3


def test_a_table_rewritten_during_its_first_read_is_read_again_from_its_start(make_world: MakeWorld) -> None:
    world = make_world(chunk_rows=1000)
    world.insert(0, 5000)
    pieces = deliveries(world)
    list(next(pieces).batches())
    world.server.run(f"VACUUM FULL {world.table}")
    with pytest.raises(SourceError, match=r"blocks \d+ to \d+: its rows were moved .* next ingest reads it from"):
        list(next(pieces).batches())
    del pieces

    stop = deliveries(world)
    first = next(stop)
    ids = [key for batch in first.batches() for key in batch["id"].to_pylist()]
    stored = first.receipt().position
    del stop
    world.server.run(f"VACUUM FULL {world.table}")
    again = [
        key for one in deliveries(world, position=stored) for batch in one.batches() for key in batch["id"].to_pylist()
    ]
    assert sorted(again) == list(range(5000))
    assert len(ids) > 500


def test_a_first_read_that_ended_early_goes_on_where_it_was(make_world: MakeWorld) -> None:
    world = make_world(chunk_rows=1000)
    world.insert(0, 5000)
    reading = deliveries(world)
    for _ in range(2):
        piece = next(reading)
        begun = [key for batch in piece.batches() for key in batch["id"].to_pylist()]
    stored = piece.receipt().position
    del reading
    world.update("id < 100")
    rest = [
        key for one in deliveries(world, position=stored) for batch in one.batches() for key in batch["id"].to_pylist()
    ]
    assert rest[0] == begun[-1] + 1
    assert sorted(rest[-100:]) == list(range(100))


def test_a_table_made_anew_is_read_anew_even_if_its_rows_are_old(make_world: MakeWorld) -> None:
    world = make_world()
    world.insert(0, 10)
    world.server.run(f"CREATE TABLE {world.schema}.other AS SELECT id + 100 AS id, due, version FROM {world.table}")
    world.ingest()
    world.server.run(f"ALTER TABLE {world.table} RENAME TO old", f"ALTER TABLE {world.schema}.other RENAME TO jobs")
    assert world.ingest().rows == 10
    assert {key for key, _ in world.taken()} == {*range(10), *range(100, 110)}


def test_partitions_that_are_attached_later_are_read_whole(make_world: MakeWorld) -> None:
    world = make_world()
    table, schema = world.table, world.schema
    world.server.run(
        f"DROP TABLE {table}",
        f"CREATE TABLE {table} (id bigint, due timestamptz, version int) PARTITION BY RANGE (id)",
        f"CREATE TABLE {schema}.low PARTITION OF {table} FOR VALUES FROM (0) TO (100)",
        f"CREATE TABLE {schema}.high AS"
        " SELECT n::bigint AS id, now() AS due, 0 AS version FROM generate_series(100, 109) n",
        f"INSERT INTO {table} SELECT n, now(), 0 FROM generate_series(0, 9) n",
    )
    assert world.ingest().rows == 10
    world.server.run(f"ALTER TABLE {table} ATTACH PARTITION {schema}.high FOR VALUES FROM (100) TO (200)")
    assert world.ingest().rows == 10
    world.update("id IN (1, 101)")
    assert world.ingest().rows == 2
    world.assert_whole()


def test_a_partition_that_is_away_for_a_part_of_the_first_read_is_read_when_it_is_back(make_world: MakeWorld) -> None:
    world = make_world(chunk_rows=100)
    table, schema = world.table, world.schema
    world.server.run(
        f"DROP TABLE {table}",
        f"CREATE TABLE {table} (id bigint, due timestamptz, version int) PARTITION BY RANGE (id)",
        *(
            f"CREATE TABLE {schema}.p{n} PARTITION OF {table} FOR VALUES FROM ({n}000) TO ({n + 1}000)"
            for n in range(3)
        ),
        f"INSERT INTO {table} SELECT n, now(), 0 FROM generate_series(0, 2999) n",
    )
    away = f"ALTER TABLE {table} DETACH PARTITION {schema}.p1"
    back = f"ALTER TABLE {table} ATTACH PARTITION {schema}.p1 FOR VALUES FROM (1000) TO (2000)"
    read, stored = set[int](), dict[str, Any]()

    def read_until(leaf: str) -> None:
        """One run, which ends after its first piece of that partition."""
        nonlocal stored
        for piece in deliveries(world, position=stored):
            read.update(key for batch in piece.batches() for key in batch["id"].to_pylist())
            stored = dict(piece.receipt().position)
            if leaf in piece.origin:
                return

    read_until("p0")
    world.server.run(away)
    read_until("p2")
    world.server.run(back)
    read_until("none")
    assert read == set(range(3000))


def test_where_is_part_of_what_was_read(make_world: MakeWorld) -> None:
    world = make_world(where="id < 5")
    world.insert(0, 10)
    assert world.ingest().rows == 5
    world.update("true")
    assert world.ingest().rows == 5
    world.redeclare(where="id < 8")
    assert world.ingest().rows == 8


def test_columns_may_come_and_go(make_world: MakeWorld) -> None:
    world = make_world()
    world.insert(0, 3)
    world.ingest()
    world.server.run(f'ALTER TABLE {world.table} ADD COLUMN "Größe, in m" int DEFAULT 7')
    assert world.ingest().rows == 0
    world.redeclare(types={"id": "int64", "due": "timestamp", "version": "int64", "Größe, in m": "float64"})
    assert world.ingest().rows == 3
    world.server.run(f"ALTER TABLE {world.table} RENAME COLUMN version TO revision")
    with pytest.raises(
        SourceError, match=r"jobs lacks the declared column `version`\. Found: id, due, revision, filler"
    ):
        world.ingest()


def test_a_column_that_is_declared_later_is_filled_though_the_server_is_quiet(make_world: MakeWorld) -> None:
    world = make_world()
    world.insert(0, 3)
    world.ingest()
    world.redeclare(types={**TYPES, "filler": "string"})
    assert world.ingest().rows == 3
    assert world.ingest().rows == 0


def test_a_column_that_was_not_declared_for_a_while_is_filled_when_it_is_again(make_world: MakeWorld) -> None:
    world = make_world(types={**TYPES, "filler": "string"})
    world.insert(0, 3)
    world.ingest()
    world.redeclare(types=TYPES)
    world.insert(3, 3)
    assert world.ingest().rows == 3
    world.redeclare(types={**TYPES, "filler": "string"})
    world.insert(6, 1)
    assert world.ingest().rows == 7


@pytest.mark.parametrize(
    "change",
    [
        "DROP COLUMN version, ADD COLUMN version int DEFAULT 77",
        "ALTER COLUMN doubled SET EXPRESSION AS (version * 3 + 1)",
    ],
)
def test_a_column_whose_values_change_without_a_row_being_written_is_read_anew(
    make_world: MakeWorld, change: str
) -> None:
    world = make_world()
    world.server.run(f"ALTER TABLE {world.table} ADD COLUMN doubled int GENERATED ALWAYS AS (2 * id) VIRTUAL")
    world.redeclare(types={**TYPES, "doubled": "int64"})
    world.insert(0, 3)
    assert world.ingest().rows == 3
    world.server.run(f"ALTER TABLE {world.table} ADD COLUMN another int")
    assert world.ingest().rows == 0
    world.server.run(f"ALTER TABLE {world.table} {change}")
    assert world.ingest().rows == 3
    assert world.ingest().rows == 0


def test_a_position_of_before_goes_on(make_world: MakeWorld) -> None:
    world = make_world()
    world.insert(0, 10)
    world.ingest()
    old = {key: value for key, value in position(world).items() if key not in ("lsn", "identities")}
    world.insert(10, 2)
    assert [b.num_rows for d in deliveries(world, position=old) for b in d.batches()] == [2]


def test_a_table_that_is_not_there_is_named_with_those_that_are(make_world: MakeWorld) -> None:
    world = make_world(table="nowhere.jobs")
    world.server.run("CREATE SCHEMA IF NOT EXISTS a", "CREATE TABLE IF NOT EXISTS a.jobs (id int)")  # 20 are named
    with pytest.raises(SourceError, match=r"no table `nowhere\.jobs`.*: a\.jobs, "):
        world.ingest()
    world.server.run(f"CREATE VIEW {world.schema}.view AS SELECT * FROM {world.table}")
    world.redeclare(table=f"{world.schema}.view")
    with pytest.raises(SourceError, match=r"view is no table .* set `cursor`"):
        world.ingest()


@pytest.mark.parametrize("change", [{"cluster": "1/1/5"}, {"xmin": 1 << 40}, {"leaves": "x"}])
def test_a_position_that_means_nothing_here_starts_from_the_beginning(make_world: MakeWorld, change: Any) -> None:
    world = make_world()
    world.insert(0, 10)
    world.ingest()
    rows = [b.num_rows for d in deliveries(world, position={**position(world), **change}) for b in d.batches()]
    assert sum(rows) == 10


def test_a_position_moves_on_over_a_billion_transactions(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    world.insert(0, 10)
    world.ingest()
    before = position(world)["xmin"]
    world.server.run(f"CREATE TABLE {world.schema}.other ()")
    world.ingest()
    assert position(world)["xmin"] == before
    monkeypatch.setattr("evergreen.sources.postgres_changes.STALE", 0)
    result = world.ingest()
    assert (result.rows, result.files) == (0, 0)
    assert position(world)["xmin"] > before
    monkeypatch.setattr(postgres_position, "EPOCH", 0)
    assert world.ingest().rows == 10


def test_of_a_refused_delivery_nothing_is_taken_and_the_next_run_goes_on(make_world: MakeWorld) -> None:
    world = make_world()
    world.insert(0, 10)
    world.ingest()
    world.insert(10, 5000)
    world.server.run(f"UPDATE {world.table} SET due = 'infinity' WHERE id = 5009")
    with pytest.raises(DeliveriesRefused, match="infinity in column due cannot be held; for infinity see the option"):
        world.ingest()
    assert len(world.taken()) == 10
    assert world.server.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'evergreen'") == 0
    world.server.run(f"UPDATE {world.table} SET due = now() WHERE id = 5009")
    assert world.ingest().rows == 5000
    world.assert_whole()
