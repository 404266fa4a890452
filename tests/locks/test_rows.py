"""Locks that are rows: leases, hosts, and what is said of who holds them."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable

import psutil
import pytest
from sqlalchemy.exc import IntegrityError
from typer.testing import CliRunner

from evergreen.errors import EvergreenError
from evergreen.locks import attempt, lock
from evergreen.locks.commands import holders
from evergreen.paths import Home
from evergreen.project import Project
from tests.faults.harm import until
from tests.ledger.stores import Store
from tests.locks.conftest import Hold
from tests.locks.holding import NOTES

NAME = "small/jobs"
BRIEF = {"EVERGREEN_LOCK_LEASE": "3"}


def free(home: Home) -> bool:
    with attempt(home, NAME) as mine:
        return mine


def test_what_a_process_of_another_host_held_is_free_when_its_lease_ends(home: Home, rows: Store, hold: Hold) -> None:
    holder = hold()
    assert holder.said() == "held"
    rows.run("UPDATE locks SET host = 'elsewhere'")
    holder.kill()
    holder.end()
    assert not free(home), "nobody here knows that it is dead"
    rows.run("UPDATE locks SET expires_at = clock_timestamp() + interval '1 second'")
    [(end,)] = rows.rows("SELECT expires_at FROM locks")
    with lock(home, NAME, timeout=60):
        assert rows.rows(f"SELECT clock_timestamp() >= '{end}' FROM locks") == [(True,)]


def test_what_another_process_of_the_same_id_held_is_free(home: Home, rows: Store) -> None:
    with lock(home, NAME):
        rows.run("UPDATE locks SET token = 'before'")
    assert not free(home), "this process runs"
    rows.run("UPDATE locks SET started = started - 1")
    assert free(home)


def test_it_is_renewed_for_as_long_as_it_is_held(home: Home, rows: Store, hold: Hold) -> None:
    holder = hold(EVERGREEN_LOCK_LEASE="6")
    assert holder.said() == "held"
    rows.run("CREATE TABLE renewals (until timestamptz)")
    rows.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO renewals VALUES (NEW.expires_at); PERFORM pg_notify('renewed', ''); RETURN NEW; END $$"
    )
    rows.run("CREATE TRIGGER note AFTER UPDATE ON locks FOR EACH ROW EXECUTE FUNCTION note()")
    with rows.connected() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        connection.exec_driver_sql("LISTEN renewed")
        driver.commit()
        heard = list(driver.notifies(timeout=120, stop_after=7))  # a second apart: longer than the lease
    assert len(heard) >= 7
    assert not free(home)
    moments = [moment for (moment,) in rows.rows("SELECT until FROM renewals")]
    assert moments == sorted(moments)


def test_it_costs_no_connection_for_as_long_as_it_is_held(home: Home, rows: Store, hold: Hold) -> None:
    holder = hold()
    assert holder.said() == "held"
    others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    until(lambda: not rows.rows(others), 60, "its connection stays open")
    holder.go_on()
    assert holder.said() == "given back"
    assert rows.rows("SELECT name FROM locks") == []


def test_who_has_lost_its_row_ends_itself(home: Home, rows: Store, hold: Hold) -> None:
    holder = hold(**BRIEF)
    assert holder.said() == "held"
    rows.run("DELETE FROM locks")
    code, told = holder.end()
    assert code == -signal.SIGKILL
    assert "the lock `small/jobs` is no longer this process's: its row in the ledger is gone. This process ends" in told


def test_who_stands_still_has_ended_when_its_lease_ends(home: Home, rows: Store, hold: Hold) -> None:
    holder = hold(**BRIEF)
    assert holder.said() == "held"
    rows.run("UPDATE locks SET host = 'elsewhere'")
    holder.stop()
    holder.go_on()  # awake, it would write `out` at once
    process = psutil.Process(holder.pid)
    with lock(home, NAME, timeout=60):
        until(lambda: process.status() == psutil.STATUS_ZOMBIE, 60, "it would go on when it is woken")
    assert holder.end()[0] == -signal.SIGKILL
    assert (home.root / NOTES).read_text() == f"in {holder.pid}\n"


def test_it_is_told_who_holds_it(home: Home, rows: Store, hold: Hold) -> None:
    task = {"AIRFLOW_CTX_DAG_ID": "small_score", "AIRFLOW_CTX_TASK_ID": "score", "AIRFLOW_CTX_DAG_RUN_ID": "manual__1"}
    for env, what in ((task, "small_score.score manual__1"), ({}, f"holding.py {home.root} lock")):
        holder = hold(**env)
        assert holder.said() == "held"
        said = f"`small/jobs` has been locked for 0 s: held by `{what[:117]}"
        more = f" on {socket.gethostname()} (process {holder.pid}) since 20"
        with pytest.raises(EvergreenError, match=f"{re.escape(said)}.*{re.escape(more)}"), lock(home, NAME, timeout=0):
            pass
        holder.kill()


def test_the_command_lists_what_is_held_and_what_is_left_over(
    make_project: Callable[..., Project], rows: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    monkeypatch.chdir(project.root)
    told = CliRunner().invoke(holders)
    assert told.stdout == "nothing is locked\n"
    with lock(project.home, NAME), lock(project.home, "small/score"):
        rows.run("UPDATE locks SET started = 1 WHERE name = 'small/score'")
        told = CliRunner().invoke(holders)
        rows.run(f"UPDATE locks SET host = '{socket.gethostname()}'")
    first, who, second, _ = told.stdout.splitlines()
    assert re.fullmatch(r"20\S+Z  small/jobs  until \d\d:\d\d:\d\d", first)
    assert who.endswith(f"({socket.gethostname()}, process {os.getpid()})")
    assert second.endswith("small/score  left over: free for the next who asks")
    monkeypatch.delenv("EVERGREEN_LEDGER_URL")
    assert "the locks are files in " in CliRunner().invoke(holders).stdout


def test_the_database_itself_refuses_a_second_holder(home: Home, rows: Store) -> None:
    columns = "name, shared, host, place, pid, started, what, taken_at, expires_at"
    with lock(home, NAME), pytest.raises(IntegrityError, match="locks_one_alone"):
        rows.run(f"INSERT INTO locks SELECT 'another', {columns} FROM locks")


@pytest.mark.parametrize("text", ["soon", "1", "nan"])
def test_a_lease_is_a_number_of_seconds(home: Home, rows: Store, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("EVERGREEN_LOCK_LEASE", text)
    with pytest.raises(EvergreenError, match=f"EVERGREEN_LOCK_LEASE is `{text}`.*more than 1, such as 60"):
        free(home)
