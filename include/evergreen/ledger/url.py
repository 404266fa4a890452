"""Where the ledger is: the file in the home, or the database that EVERGREEN_LEDGER_URL names; and how long to wait."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from evergreen.errors import EvergreenError
from evergreen.paths import Home

PATIENCE = 30.0  # seconds for another writer, and for a server that restarts; EVERGREEN_LEDGER_PATIENCE says otherwise
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


def connect_args(url: URL, **others: Any) -> dict[str, Any]:
    """What makes every wait end, for another writer and for a server that does not answer; `others` in its place."""
    wait = patience()
    if url.get_backend_name() == "sqlite":
        return {"timeout": wait}
    if url.drivername != "postgresql+psycopg":
        return {}
    # A host that is gone sends nothing, not even that it is gone: what is on its way is given up then.
    chosen = {
        "connect_timeout": _CONNECT_SECONDS,
        "tcp_user_timeout": int(1000 * max(wait, _CONNECT_SECONDS)),
        "options": f"-c lock_timeout={int(1000 * wait)}",
    }
    return {key: value for key, value in (chosen | others).items() if key not in url.query}


def patience() -> float:
    """How many seconds to wait, for another writer and for a server that is away."""
    return seconds_from("EVERGREEN_LEDGER_PATIENCE", PATIENCE)


def seconds_from(variable: str, default: float, least: float = 0.0) -> float:
    """The number of seconds that a variable says; raises EvergreenError where it is none, or not more than `least`."""
    text = os.environ.get(variable)
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = 0.0
    if not least < seconds < 86_400:
        more = f" and more than {least:g}" if least else ""
        raise EvergreenError(f"{variable} is `{text}`, and should be a number of seconds{more}, such as {default:g}")
    return seconds
