"""Which errors say that a server is away for now: the words of libpq, of psycopg and of PostgreSQL."""

from __future__ import annotations

import pytest
from psycopg import OperationalError

from evergreen.ledger.away import is_away

AT = 'connection failed: connection to server at "{}", port 5432 failed: '
LOCAL, V6 = AT.format("127.0.0.1"), AT.format("::1")


@pytest.mark.parametrize(
    "text",
    [
        f"{LOCAL}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
        f"{LOCAL}FATAL:  the database system is starting up",
        f"{LOCAL}FATAL:  the database system is shutting down",
        f"{LOCAL}FATAL:  the database system is not yet accepting connections\nDETAIL:  Consistent recovery state ...",
        f"{LOCAL}FATAL:  terminating connection due to unexpected postmaster exit",  # killed while we log in
        f"{LOCAL}server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally",
        f"{LOCAL}server sent an error response during SSL exchange",
        "failed to resolve host 'postgres': [Errno -2] Name or service not known",  # a stopped container has no name
        "connection timeout expired",
    ],
)
def test_a_server_that_restarts_is_away(text: str) -> None:
    assert is_away(OperationalError(text))


@pytest.mark.parametrize(
    "text",
    [
        f'{LOCAL}FATAL:  password authentication failed for user "me"',
        f'{LOCAL}FATAL:  database "nowhere" does not exist',
        f'{V6}Connection refused\n{LOCAL}FATAL:  password authentication failed for user "me"',
        f"{LOCAL}FATAL:  sorry, too many clients already",
        f"{LOCAL}server does not support SSL, but SSL was required",
        f"{LOCAL}SSL error: certificate verify failed",
    ],
)
def test_a_server_that_refuses_is_there(text: str) -> None:
    assert not is_away(OperationalError(text))
