"""Leases: the locks that this process holds by rows are renewed by one thread, and where one is lost the process ends.

Each is held until a moment that is reckoned from before it was asked for, by this machine's clock; so it ends here
before it ends in the database. Nobody goes on without: every task may be killed at any moment and run again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import NoReturn

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from evergreen.ledger.away import brief
from evergreen.ledger.url import seconds_from, shown
from evergreen.locks.deadline import Deadline, now
from evergreen.locks.table import renew

log = logging.getLogger(__name__)
LEASE = 60.0  # seconds; EVERGREEN_LOCK_LEASE says otherwise
# Shares of a lease. What is renewed every 10 s outlives a database that is away for 40; the last 5 are for the end.
_RENEW, _AGAIN, _MARGIN = 1 / 6, 1 / 60, 1 / 12
_BRIEFLY = 1.0  # seconds that the connection by which a lock was taken stays open: most are given back by then


def lease_seconds() -> float:
    """How long a lock outlives a holder of whom nothing is heard."""
    return seconds_from("EVERGREEN_LOCK_LEASE", LEASE, least=1.0)


@dataclass
class Held:
    """A lock that this process holds. Moments are those of `now`."""

    token: str
    name: str
    engine: Engine
    lease: float
    asked: float  # before the database was asked for it, or for its renewal, the last time that it agreed
    connection: Connection | None  # by which it was taken, as long as that is open
    next: float = field(init=False)  # when to ask again
    away: bool = field(init=False)
    _closed: float = field(init=False)

    def __post_init__(self) -> None:
        self._closed = self.asked + _BRIEFLY
        self.renewed(self.asked)

    @property
    def until(self) -> float:
        """When the lease has run out."""
        return self.asked + self.lease

    @property
    def last_moment(self) -> float:
        """When there is just time to say why, and to end."""
        return self.until - self.lease * _MARGIN

    def close_after_a_while(self, moment: float) -> None:
        """Let the connection go: PostgreSQL has none for each task and lock."""
        if self.connection is not None and moment >= self._closed:
            self.connection.close()
            self.connection = None

    def wake(self) -> float:
        """When something is to be done about it."""
        moments = (self.next, self.last_moment, *([self._closed] if self.connection is not None else []))
        return min(moments)

    def renewed(self, asked: float) -> None:
        """The database has agreed."""
        self.asked, self.next, self.away = asked, asked + self.lease * _RENEW, False


class Keeper:
    """Keeps what this process holds; its thread lives as long as there is anything."""

    def __init__(self) -> None:
        self._changed, self._held = threading.Condition(), dict[str, Held]()
        self._deadline: Deadline | None = None
        self._thread: threading.Thread | None = None

    def hold(self, held: Held) -> None:
        """Keep a lock from now on."""
        with self._changed:
            self._held[held.token] = held
            self._arm()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="evergreen-locks", daemon=True)
                self._thread.start()
            self._changed.notify()

    def drop(self, held: Held) -> bool:
        """Keep it no longer, nor its connection; False where it is not this process's: a child holds nothing."""
        with self._changed:
            mine = self._held.pop(held.token, None) is not None
            if mine:
                self._arm()
                self._changed.notify()
            return mine

    def _arm(self) -> None:
        self._deadline = self._deadline or Deadline()
        self._deadline.set(min((held.until for held in self._held.values()), default=None))

    def _run(self) -> None:
        while due := self._due():
            for engine in {id(held.engine): held.engine for held in due}.values():
                self._renew(engine, [held for held in due if held.engine is engine])

    def _due(self) -> list[Held]:
        """What is to be renewed, once it is time; nothing where nothing is held: then the thread ends."""
        with self._changed:
            while self._held:
                moment = now()
                if late := [held for held in self._held.values() if moment >= held.last_moment]:
                    self._end(late[0], "could not be renewed before its lease ran out")
                for held in self._held.values():
                    held.close_after_a_while(moment)
                if any(moment >= held.next for held in self._held.values()):
                    return list(self._held.values())
                self._changed.wait(min(held.wake() for held in self._held.values()) - moment)
            self._thread = None
            return []

    def _renew(self, engine: Engine, due: list[Held]) -> None:
        asked = now()
        try:
            with engine.begin() as connection:
                there = {held.token for held in due if renew(connection, held.token, held.lease)}
        except DBAPIError as error:
            with self._changed:
                self._try_again(engine, due, error)
            return
        with self._changed:
            for held in due:
                if held.token in there:
                    if held.away:
                        log.warning("the lock `%s` is renewed again", held.name)
                    held.renewed(asked)
                elif held.token in self._held:  # else it was given back meanwhile
                    self._end(held, "is no longer this process's: its row in the ledger is gone")
            self._arm()

    def _try_again(self, engine: Engine, due: list[Held], error: DBAPIError) -> None:
        for held in due:
            if not held.away:
                left = held.last_moment - now()
                log.warning(
                    "the lock `%s` cannot be renewed in the ledger %s (%s): held on, and tried again for %.0f s",
                    held.name, shown(engine.url), brief(error), left,
                )  # fmt: skip
            held.away, held.next = True, now() + held.lease * _AGAIN

    def _end(self, held: Held, why: str) -> NoReturn:
        if self._deadline is not None:  # should the log not let it come to that
            self._deadline.set(min(held.until, now() + 1))
        log.critical(
            "the lock `%s` %s. This process ends itself, since another may hold it now; run the task again",
            held.name, why,
        )  # fmt: skip
        os.kill(os.getpid(), signal.SIGKILL)
        raise SystemExit  # never reached


_keeper = Keeper()
_of_parents: list[Keeper] = []


def keeper() -> Keeper:
    """That of this process."""
    return _keeper


def _begin_anew() -> None:
    global _keeper
    _of_parents.append(_keeper)  # its connections are the parent's: nothing may close them here
    _keeper = Keeper()


os.register_at_fork(after_in_child=_begin_anew)
