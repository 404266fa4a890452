"""One lock being taken: looked for until it is free, and waited for where the database is away."""

from __future__ import annotations

import logging
import time
import uuid

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from evergreen.errors import EvergreenError
from evergreen.ledger.away import is_away
from evergreen.ledger.engine import reached
from evergreen.ledger.url import patience, shown
from evergreen.locks.deadline import now
from evergreen.locks.lease import Held, keeper
from evergreen.locks.table import claim, give_back

log = logging.getLogger(__name__)
PAUSE = 0.5  # between two tries to reach the database
_TICKS = (0.05, 0.5)  # between two looks: at first, and after a while
_LONGER = 4 / 3
_BUSY = ("57014", "55P03", "40P01")  # it took longer than the engine lets it, or was in another's way


def longest_away() -> float:
    """How long a database is waited for: somewhat longer than by who reads the ledger, 40 s."""
    return patience() * _LONGER


def passes(error: DBAPIError) -> bool:
    """Whether it is worth another try."""
    return is_away(error) or getattr(error.orig, "sqlstate", None) in _BUSY


class Taking:
    """A lock that is not held yet. Its connection stays open while somebody else holds it."""

    def __init__(self, engine: Engine, name: str, lease: float, shared: bool) -> None:
        self._engine, self._name, self._lease, self._shared = engine, name, lease, shared
        self._token = uuid.uuid4().hex
        self._connection: Connection | None = None

    def run(self, timeout: float) -> Held | None:
        """The lock, kept from now on; None where it was not free for `timeout` seconds."""
        end, (tick, longest) = time.monotonic() + timeout, _TICKS
        try:
            while True:
                if held := self._once():
                    self._connection = None  # it is kept with the lock for a while
                    keeper().hold(held)
                    return held
                left = end - time.monotonic()
                if left <= 0:
                    return None
                time.sleep(min(tick, left))
                tick = min(tick * 1.2, longest)
        finally:
            self._close()

    def _once(self) -> Held | None:
        """The lock, if it is free; tried again while the database is away."""
        end = None
        while True:
            try:
                return self._claim()
            except DBAPIError as error:
                self._close()
                if not passes(error):
                    raise self._problem(error) from None
                if end is None:
                    end = time.monotonic() + longest_away()
                    log.warning("the ledger %s is away: waiting for it to lock `%s`", self._where, self._name)
                if time.monotonic() > end:
                    raise self._problem(error) from None
            time.sleep(PAUSE)

    def _claim(self) -> Held | None:
        if self._connection is None:
            self._connection = self._engine.connect()
        asked = now()
        if not claim(self._connection, self._token, self._name, self._lease, self._shared):
            return None
        held = Held(self._token, self._name, self._engine, self._lease, asked, self._connection)
        if now() < held.next:
            return held
        with self._connection.begin():  # it took so long to come that too little of its lease is left
            give_back(self._connection, self._token)
        return None

    def _problem(self, error: DBAPIError) -> EvergreenError:
        try:
            with reached(self._engine):
                raise error
        except EvergreenError as told:
            return told

    @property
    def _where(self) -> str:
        return shown(self._engine.url)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
