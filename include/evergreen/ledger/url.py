"""Where the ledger is: the file in the home, or the database that EVERGREEN_LEDGER_URL names; and how long to wait."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from evergreen.errors import EvergreenError
from evergreen.paths import Home

BUSY_SECONDS = 30.0  # for another writer; EVERGREEN_LEDGER_PATIENCE says otherwise
_CONNECT_SECONDS = 10


def ledger_url(home: Home) -> URL:
    """The URL; raises EvergreenError, which does not repeat what may be a password, where it is none."""
    text = os.environ.get("EVERGREEN_LEDGER_URL")
    if not text:
        home.root.mkdir(parents=True, exist_ok=True)
        return file_url(home)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise EvergreenError("EVERGREEN_LEDGER_URL is not a database URL such as postgresql://user@host/db") from None
    if url.get_backend_name() != "sqlite" and text.partition("?")[0].count("@") > 1:
        # The rest of such a password would be taken, and shown, for the host.
        raise EvergreenError("EVERGREEN_LEDGER_URL has more than one `@`: write that of a password as %40")
    # As Airflow's connections are written, and with the driver that is locked.
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgres", "postgresql") else url


def file_url(home: Home) -> URL:
    """The file in the home."""
    return URL.create("sqlite", database=str(home.ledger))


def shown(url: URL) -> str:
    """The URL without what may be secret: password and options."""
    return url.set(query={}).render_as_string(hide_password=True)


def connect_args(url: URL) -> dict[str, Any]:
    """What makes every wait end: for another writer, and for a server that does not answer."""
    patience = _patience()
    if url.get_backend_name() == "sqlite":
        return {"timeout": patience}
    if url.drivername != "postgresql+psycopg":
        return {}
    # A host that is gone sends nothing, not even that it is gone: what is on its way is given up then.
    chosen = {
        "connect_timeout": _CONNECT_SECONDS,
        "tcp_user_timeout": int(1000 * max(patience, _CONNECT_SECONDS)),
        "options": f"-c lock_timeout={int(1000 * patience)}",
    }
    return {key: value for key, value in chosen.items() if key not in url.query}


def _patience() -> float:
    text = os.environ.get("EVERGREEN_LEDGER_PATIENCE")
    try:
        patience = float(text) if text else BUSY_SECONDS
    except ValueError:
        patience = 0.0
    if not 0 < patience < 86_400:
        raise EvergreenError(f"EVERGREEN_LEDGER_PATIENCE is `{text}`, and should be a number of seconds, such as 30")
    return patience
