"""The ledger is held by another writer, or its PostgreSQL stops: said, nothing half done, and later it goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from evergreen.ledger import Ledger
from tests.faults.content import untimed
from tests.faults.world import World, difference, world
from tests.servers import PostgresServer, running_postgres

Told = Callable[[str, object], None]


@pytest.mark.parametrize("step", ["monitor", "gate", "promote"])
def test_another_writer_does_not_let_go(world: World, step: str, record_property: Told) -> None:
    record_property("drill", f"{step} while another process holds the ledger's write lock beyond the busy time")
    record_property("outcome", "said, nothing recorded, no alias moved; run again, as undisturbed")
    world.at(step)
    before = world.content()
    with closing(sqlite3.connect(world.here / ".evergreen" / "ledger.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        refused = world.start(step, EVERGREEN_LEDGER_PATIENCE="0.2")
        assert refused.wait() == 1, refused.err[-3000:]
        assert "ledger.db cannot be used: database is locked; nothing was recorded, run this again" in refused.err
        told = ("ledger", "mlflow")
        assert {k: v for k, v in world.content().items() if k.startswith(told)} == {
            k: v for k, v in before.items() if k.startswith(told)
        }
        holder.execute("ROLLBACK")
    world.run(step)
    assert difference(world.content(), world.undisturbed[step].after) == {}


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own, where the world's ledger is."""
    with running_postgres(tmp_path_factory.mktemp("ledger")) as server:
        yield server


def test_its_server_stops_in_the_middle(world: World, server: PostgresServer, record_property: Told) -> None:
    record_property("drill", "PostgreSQL with the ledger stopped in the middle of gate, killed in that of promote")
    record_property("outcome", "said without its password; back again, one decision, one promotion, the aliases")
    world.at("gate")
    env = {"EVERGREEN_LEDGER_URL": server.uri, "EVERGREEN_LEDGER_PATIENCE": "1"}
    assert world.command("decisions", "copy", **env).err == ""
    middle = {"gate": ("gate.evidence", server.stop), "promote": ("promote.recorded", server.kill)}
    for step, (place, end) in middle.items():
        running = world.disturbed(step, place, end, **env)
        assert running.wait() == 1, running.err
        assert "\nevergreen: the ledger postgresql+psycopg://evergreen:***@127.0.0.1" in running.err, running.err
        assert "run this again" in running.err
        assert server.password not in running.err
        server.start()
        world.run(step, **env)
    after = world.undisturbed["promote"].after
    assert difference(world.mlflow.content(), {k: v for k, v in after.items() if k.startswith("mlflow")}) == {}
    found = recorded(world, **env)
    world.at("rollback")
    assert found == recorded(world)


def recorded(world: World, **env: str) -> list[Any]:
    """The use case's rows in the ledger, but for when they were recorded."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        ledger = Ledger.open(world.project.home)
        rows = [*ledger.decisions("small"), *ledger.promotions("small"), *ledger.requests("small")]
    found = [row.model_dump(exclude={"created_at"}) for row in rows]
    return [one | {"inputs": untimed(one["inputs"])} if "inputs" in one else one for one in found]


__all__ = ["world"]
