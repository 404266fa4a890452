"""A database server that is away for a short while, as when it restarts: told from one that refuses us, and waited for.

Errors from before there is a connection have no code, only text: that of libpq, of the system, and of the server.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.exc import DBAPIError

from evergreen.ledger.url import shown

log = logging.getLogger(__name__)
_PAUSE = 0.5

# What a server answers (FATAL) that is about to be there, or about to go.
_SOON = (
    "starting up",
    "shutting down",
    "recovery mode",
    "not yet accepting connections",
    "due to administrator command",
    "crash of another server process",
    "unexpected postmaster exit",
)
# What is said where none answers. A container that is stopped has no name until it is started again.
_SILENT = (
    "refused",
    "timeout expired",
    "timed out",
    "server closed the connection",
    "error response during SSL exchange",  # of which libpq shows no text: it may be forged
    "reset by peer",
    "Broken pipe",
    "EOF detected",
    "No route to host",
    "unreachable",
    "Host is down",
    "failed to resolve host",
    "could not translate host name",
)


def is_away(error: BaseException) -> bool:
    """Whether an error of a connection, or of the opening of one, says that the server is away for now."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_away(error.orig))
    text = str(error)
    if answers := re.findall(r"FATAL:(.*)", text):  # of `localhost`, one address may refuse while another answers
        return all(any(words in answer for words in _SOON) for answer in answers)
    return any(words in text for words in _SILENT)


def brief(error: DBAPIError) -> str:
    """What the database or its driver says, in one line."""
    return str(error.orig).strip().partition("\n")[0]


def wait_where_away(engine: Engine, patience: float) -> None:
    """Let whoever opens a connection of `engine` wait up to `patience` seconds for a server that is away."""

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Dialect, _record: Any, arguments: Any, options: Any) -> Any:
        begun, told = time.monotonic(), False
        while True:
            try:
                return dialect.connect(*arguments, **options)
            except dialect.loaded_dbapi.Error as error:
                if not is_away(error) or time.monotonic() - begun + _PAUSE > patience:
                    raise
                if not told:
                    log.warning("the ledger %s is away: waiting up to %g s for it", shown(engine.url), patience)
                    told = True
            time.sleep(_PAUSE)
