"""Locks that are rows of the ledger: workers on several hosts exclude each other. See docs/ledger.md, Locks.

A row is held by a lease, which lease.py renews. A database that is away for a short while, as when it restarts, is
waited for by whoever takes a lock, and costs nobody the lock that he holds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Engine, true
from sqlalchemy.exc import DBAPIError

from evergreen.errors import EvergreenError
from evergreen.ledger.away import brief
from evergreen.ledger.engine import connect, ledger_engine, reached, reading
from evergreen.ledger.tables import locks
from evergreen.ledger.url import ledger_url, shown
from evergreen.locks.deadline import now
from evergreen.locks.lease import Held, keeper, lease_seconds
from evergreen.locks.table import RIGHTS, Lock, give_back, missing_right, read, remove_left
from evergreen.locks.taking import PAUSE, Taking, longest_away, passes
from evergreen.paths import Home

log = logging.getLogger(__name__)

_engines: dict[tuple[URL, float], Engine] = {}


def rows_of(home: Home) -> Rows | None:
    """The rows that are the locks, the ledger brought up once; None where the ledger is no PostgreSQL."""
    url, lease = ledger_url(home), lease_seconds()
    if url.get_backend_name() != "postgresql":
        return None
    if (url, lease) not in _engines:
        _require_rights(ledger_engine(home))
        _engines[url, lease] = _engine(url, lease)
    return Rows(_engines[url, lease], lease)


def _require_rights(engine: Engine) -> None:
    with reading(engine) as connection:
        role = missing_right(connection)
    if role is not None:
        raise EvergreenError(
            f"the ledger {shown(engine.url)} lets the role `{role}` take no locks: as the owner of its tables, run "
            f'`GRANT {", ".join(RIGHTS)} ON locks TO "{role}"` (docs/ledger.md, Locks)'
        )


def _engine(url: URL, lease: float) -> Engine:
    """Nothing that is asked of the database may take long beside a lease; whoever waits, waits between two tries."""
    most = max(1000, int(1000 * lease / 6))
    arguments = {
        "connect_timeout": max(2, int(lease / 20)),
        "tcp_user_timeout": most,
        "options": f"-c lock_timeout={most} -c statement_timeout={most}",
    }
    # Whoever has waited for another has to see what that one did.
    return connect(url, wait=0, **arguments).execution_options(isolation_level="READ COMMITTED")


class Rows:
    """The locks of one ledger."""

    def __init__(self, engine: Engine, lease: float) -> None:
        self._engine, self._lease = engine, lease

    @property
    def outlives(self) -> float:
        """The lease of a process of another host, of which nobody here knows that it was killed."""
        return self._lease

    @contextmanager
    def take(self, name: str, timeout: float, shared: bool = False) -> Iterator[bool]:
        """Hold the lock `name`, alone or with all that share it; False where it was not free for `timeout` seconds.

        A database that is away is waited for besides. Raises EvergreenError where it stays away, or refuses.
        """
        held = Taking(self._engine, name, self._lease, shared).run(timeout)
        if held is None:
            yield False
            return
        try:
            yield True
        finally:
            self._give_back(held)

    def whose(self, name: str) -> str:
        """Who holds it."""
        with reached(self._engine), self._engine.begin() as connection:
            found = [one for one in read(connection, locks.c.name == name) if not one.left]
        if not found:
            return "it has just become free, run this again"
        told = [
            f"`{one.what}` on {one.holder.host} (process {one.holder.pid}) since {one.since:%Y-%m-%d %H:%M:%S %Z}"
            for one in found
        ]
        return f"held by {', '.join(told)}. End that process if it hangs; `evergreen locks` shows all that is held"

    def held(self) -> list[Lock]:
        """All that is locked, or was by somebody who did not give it back; times are UTC."""
        with reached(self._engine), self._engine.begin() as connection:
            return read(connection, true())

    def discard(self, below: str) -> None:
        """Remove what is left of locks below a name. A row that stays harms nobody."""
        try:
            with self._engine.begin() as connection:
                remove_left(connection, locks.c.name.startswith(f"{below}/", autoescape=True))
        except DBAPIError as error:
            log.warning("left-over rows of the locks below `%s` were not removed: %s", below, brief(error))

    def _give_back(self, held: Held) -> None:
        if not keeper().drop(held):
            return
        end, connection = min(now() + longest_away(), held.until), held.connection
        while True:
            try:
                with connection or self._engine.connect() as used, used.begin():
                    return give_back(used, held.token)
            except DBAPIError as error:
                connection = None
                if not passes(error) or now() + PAUSE > end:
                    log.warning(
                        "the lock `%s` was not given back (%s): it is free when its lease ends, after %g s at most",
                        held.name, brief(error), held.lease,
                    )  # fmt: skip
                    return None
            time.sleep(PAUSE)
