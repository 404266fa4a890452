"""Who a web source is asked as: base address, headers and query parameters of an Airflow `http` connection.

Login and password are Basic authentication, a password alone is a bearer token. Of the connection's extra, `params`
is a mapping of query parameters (an API key in the address), `verify` the file of a CA, and every other text a header,
as Airflow's own HTTP hook has it.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, urljoin, urlsplit, urlunsplit

from evergreen.errors import SourceError
from evergreen.sources.connections import Connection, find_connection

HOOK_OPTIONS = {
    "timeout",
    "allow_redirects",
    "proxies",
    "stream",
    "cert",
    "max_redirects",
    "trust_env",
    "check_response",
}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"([!-~]([ -~\t]*[!-~])?)?")
SHORTEST = 4  # a shorter secret is a word; hiding it would only garble errors


@dataclass(frozen=True)
class Access:
    """Where to ask and what only that host may be told."""

    origin: tuple[str, str, int | None]  # scheme, host, port
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def redact(self, text: str) -> str:
        """The text with every secret of the connection replaced."""
        for secret in self.secrets:
            text = text.replace(secret, "...")
        return text


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what must be the same for credentials to be sent."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def open_access(url: str, connection: str | None) -> Access:
    """The access that `url` and the connection's name in params.yaml describe; nothing is sent yet.

    Raises SourceError where the address is not one, holds a password, or the connection cannot be used.
    """
    if connection is None:
        _check(url)
        return Access(origin_of(url), url)
    found = find_connection(connection, ("http", "https"))
    base = _base(found)
    whole = urljoin(base.rstrip("/") + "/", url.lstrip("/")) if base and not url.startswith("http") else url
    _check(whole)
    if base and origin_of(base) != origin_of(whole):
        raise SourceError(
            f"`url` is on another host than the connection `{connection}`, whose credentials are for its own host "
            f"alone; write `url` as a path, such as /v1/things"
        )
    headers, params = _headers(found), _texts(found.extra.get("params"))
    if wrong := unfit(headers):
        raise SourceError(f"the connection `{connection}` cannot be used: {wrong}")
    secrets = {found.secret() or "", *headers.values(), *params.values()}
    secrets |= {value.partition(" ")[2] for value in headers.values()}  # a token without `Bearer`
    long = {form for one in secrets if len(one) >= SHORTEST for form in _forms(one)}
    verify = found.extra.get("verify")
    return Access(
        origin_of(whole), whole, headers, params, verify if isinstance(verify, str) else None,
        tuple(sorted(long, key=len, reverse=True)),
    )  # fmt: skip


def unfit(headers: Mapping[str, str]) -> str:
    """Why one of these headers cannot be sent, without its value; the empty text where all can."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            return "the name of one of its headers holds a character that no header's name can"
        if not _VALUE.fullmatch(value):
            return (
                f"the value of its header `{name}` (it is not shown here) begins or ends with white space, or holds a "
                f"line end or a character that is not ASCII"
            )
    return ""


def _forms(secret: str) -> tuple[str, ...]:
    """A secret as it is, in an address, and as Python shows it."""
    return (
        secret,
        quote(secret, ""),
        quote_plus(secret),
        repr(secret)[1:-1],
        repr(secret.encode())[2:-1],
        ascii(secret)[1:-1],
    )


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise SourceError("`url` must be a whole address that starts with http:// or https://, or a path together "
                          "with a `connection` that has a host")  # fmt: skip
    if parts.username or parts.password:
        raise SourceError(
            "`url` holds a user or a password; put them into a connection, and its name into `connection`"
        )


def _base(found: Connection) -> str:
    if not found.host:
        return ""
    if "://" in found.host:
        return found.host
    scheme = found.schema_ or (found.conn_type if found.conn_type == "https" else "http")
    port = f":{found.port}" if found.port else ""
    return urlunsplit((scheme, found.host + port, "", "", ""))


def _headers(found: Connection) -> dict[str, str]:
    extra = {name: value for name, value in found.extra.items() if name not in HOOK_OPTIONS | {"params", "verify"}}
    headers = _texts(extra)
    if found.login:
        pair = f"{found.login}:{found.secret() or ''}".encode()
        headers.setdefault("Authorization", "Basic " + base64.b64encode(pair).decode())
    elif secret := found.secret():
        headers.setdefault("Authorization", f"Bearer {secret}")
    return headers


def _texts(tree: Any) -> dict[str, str]:
    if isinstance(tree, str):  # a mapping in a connection's URI is JSON
        tree = json.loads(tree) if tree.startswith("{") else {}
    pairs = tree.items() if isinstance(tree, Mapping) else ()
    return {str(name): str(value) for name, value in pairs if isinstance(value, str | int)}


@functools.cache
def trusted(file: str | None) -> ssl.SSLContext:
    """Whose certificates count; reading them all takes longer than a request."""
    import httpx

    return ssl.create_default_context(cafile=file) if file else httpx.create_ssl_context()
