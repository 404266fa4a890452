"""What every kind of lock promises, as files and as rows: between processes, and when one of them is killed."""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import Any

import pytest

from evergreen.errors import EvergreenError
from evergreen.locks import attempt, discard, lock, sweeping, using
from evergreen.paths import Home
from tests.ledger.stores import Store
from tests.locks.conftest import Hold
from tests.locks.holding import NOTES

NAME = "small/jobs"
MANY, TIMES = 20, 10


def test_what_one_process_holds_no_other_gets(home: Home, store: Store, hold: Hold) -> None:
    holder = hold()
    assert holder.said() == "held"
    with attempt(home, NAME) as mine:
        assert not mine
    with attempt(home, "small/another") as mine:
        assert mine
    with pytest.raises(EvergreenError, match=r"`small/jobs` has been locked for 0 s: "), lock(home, NAME, timeout=0):
        pass
    holder.go_on()
    assert holder.said() == "given back"
    with attempt(home, NAME) as mine:
        assert mine


def test_who_waits_gets_it_when_it_is_given_back(home: Home, store: Store, hold: Hold) -> None:
    first = hold()
    assert first.said() == "held"
    heard = []
    sys.addaudithook(lambda event, told: heard.append(told) if event == "evergreen.point" else None)
    second = hold()
    with attempt(home, NAME) as mine:
        assert not mine
    assert ("lock.waits",) not in heard, "who only tries does not wait"
    first.go_on()
    assert second.said() == "held"
    second.go_on()
    assert second.said() == "given back"
    notes = (home.root / NOTES).read_text().split()
    assert notes == ["in", str(first.pid), "out", str(first.pid), "in", str(second.pid), "out", str(second.pid)]


def test_a_killed_process_holds_nothing(home: Home, store: Store, hold: Hold) -> None:
    for kind in ("lock", "using", "sweeping"):
        holder = hold(kind)
        assert holder.said() == "held"
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and still has an id
        taken = {"lock": attempt(home, NAME), "using": sweeping(home, 0), "sweeping": sweeping(home, 0)}[kind]
        with taken as mine:
            assert mine, "at once, whatever its lease"


def test_an_error_gives_it_back(home: Home, store: Store) -> None:
    with pytest.raises(KeyError), lock(home, NAME):
        raise KeyError
    with attempt(home, NAME) as mine:
        assert mine


def test_any_number_use_the_stores_and_one_sweeps_them(home: Home, store: Store, hold: Hold) -> None:
    users = [hold("using") for _ in range(2)]
    assert [user.said() for user in users] == ["held", "held"]
    with using(home), sweeping(home, 0.1) as alone:
        assert not alone
    users[0].go_on()
    assert users[0].said() == "given back"
    with sweeping(home, 0.1) as alone:
        assert not alone, "one is still there"
    users[1].go_on()
    assert users[1].said() == "given back"
    with sweeping(home, 0.1) as alone:
        assert alone
        late = hold("using")
        other = hold("sweeping")
        assert other.said() == "not held"
    assert late.said() == "held"


def test_what_is_held_is_not_discarded(home: Home, rows: Store, hold: Hold) -> None:
    for left in (0, 1):
        holder = hold()
        assert holder.said() == "held"
        if not left:
            holder.kill()
            holder.end()
        assert rows.rows("SELECT name FROM locks") == [(NAME,)]
        discard(home, "small")
        assert len(rows.rows("SELECT name FROM locks")) == left


def test_of_many_processes_none_overwrites_what_another_wrote(home: Home, store: Store) -> None:
    place = home.root / "counter"
    place.write_text("0")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.locks.test_locks"])
    barrier, ended = context.Barrier(MANY), context.Queue()
    counting = [context.Process(target=_count, args=(home, barrier, ended, dict(os.environ))) for _ in range(MANY)]
    for process in counting:
        process.start()
    told = [ended.get(timeout=300) for _ in counting]
    for process in counting:
        process.join(60)
    assert told == [TIMES] * MANY
    assert place.read_text() == str(MANY * TIMES)


def _count(home: Home, barrier: Any, ended: Any, env: dict[str, str]) -> None:
    os.environ.update(env)
    place = home.root / "counter"
    barrier.wait(120)  # so that on an empty database all begin by making the tables
    done = 0
    for _ in range(TIMES):
        with lock(home, NAME):
            before = int(place.read_text())
            place.write_text(str(before + 1))
            done += 1
    ended.put(done)


def test_a_forked_child_holds_nothing_and_gives_nothing_back(home: Home, store: Store) -> None:
    with lock(home, NAME):
        child = os.fork()
        if child == 0:
            os._exit(_try(home))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1, "its parent holds it"
        with attempt(home, NAME) as mine:
            assert not mine
    child = os.fork()
    if child == 0:
        os._exit(_try(home))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _try(home: Home) -> int:
    with attempt(home, NAME) as mine:
        return 0 if mine else 1


def test_the_home_is_stamped_by_the_first_lock(home: Home, store: Store) -> None:
    with lock(home, NAME):
        assert home.stamp.exists()
