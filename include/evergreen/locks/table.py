"""The rows that are locks: taken, renewed and removed, by the database's clock.

Who takes a lock holds it alone in the database for the moment of one transaction, so that two never both find it free.
What such a transaction finds left over, since its lease has run out or since its holder has surely died, it removes.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, null, or_, select, update

from evergreen.ledger.tables import locks
from evergreen.locks.holder import Holder, has_died, this_process, what

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_clock = func.clock_timestamp()  # of now, not of when the transaction began


class Lock(NamedTuple):
    """A lock that somebody holds, or held."""

    token: str
    name: str
    shared: bool
    holder: Holder
    what: str
    since: datetime
    until: datetime
    over: bool  # its lease has run out

    @property
    def left(self) -> bool:
        """Whether nobody holds it any more, although nobody gave it back."""
        return self.over or has_died(self.holder)


def missing_right(connection: Connection) -> str | None:
    """The role that may not do all that locks need; None where it may."""
    may = and_(*(func.has_table_privilege(locks.name, right) for right in RIGHTS))
    role: str | None = connection.execute(select(case((may, null()), else_=func.current_user()))).scalar_one()
    return role


def claim(connection: Connection, token: str, name: str, lease: float, shared: bool) -> bool:
    """Take a lock in a transaction of its own. A try that nobody knows the end of is repeated with the same token."""
    with connection.begin():
        connection.execute(select(func.pg_advisory_xact_lock(_number(name))))
        there = remove_left(connection, locks.c.name == name)
        others = [one for one in there if one.token != token]
        if len(others) < len(there):
            give_back(connection, token)
        if others and not (shared and all(one.shared for one in others)):
            return False
        row = {"token": token, "name": name, "shared": shared, "what": what(), **this_process()._asdict()}
        until = _clock + timedelta(seconds=lease)
        connection.execute(insert(locks).values(**row, taken_at=_clock, expires_at=until))
    return True


def renew(connection: Connection, token: str, lease: float) -> bool:
    """Let a lock be held for `lease` seconds from now; False where it is no longer there."""
    until = _clock + timedelta(seconds=lease)
    return connection.execute(update(locks).where(locks.c.token == token).values(expires_at=until)).rowcount == 1


def give_back(connection: Connection, token: str) -> None:
    """Remove a lock; again, it changes nothing."""
    connection.execute(delete(locks).where(locks.c.token == token))


def remove_left(connection: Connection, which: ColumnElement[bool]) -> list[Lock]:
    """Remove those of some locks that nobody holds any more; the others."""
    found = read(connection, which)
    left = [one.token for one in found if one.left]
    if not left:
        return found
    dead = [one.token for one in found if not one.over and one.token in left]
    # Said again where it is removed: one that was renewed meanwhile is held.
    gone = or_(locks.c.expires_at <= _clock, locks.c.token.in_(dead))
    removed = connection.execute(delete(locks).where(locks.c.token.in_(left), gone).returning(locks.c.token))
    tokens = set(removed.scalars())
    return [one for one in found if one.token not in tokens]


def read(connection: Connection, which: ColumnElement[bool]) -> list[Lock]:
    """The locks, those that are held longest first."""
    over = (locks.c.expires_at <= _clock).label("over")
    rows = connection.execute(select(locks, over).where(which).order_by(locks.c.taken_at, locks.c.token))
    return [
        Lock(
            row.token, row.name, row.shared, Holder(row.host, row.place, row.pid, row.started), row.what,
            row.taken_at.astimezone(UTC), row.expires_at.astimezone(UTC), row.over,
        )
        for row in rows
    ]  # fmt: skip


def _number(name: str) -> int:
    """PostgreSQL's locks by number have 64 bits; two names of one number would only wait for each other a moment."""
    return int.from_bytes(hashlib.sha256(f"evergreen lock {name}".encode()).digest()[:8], signed=True)
