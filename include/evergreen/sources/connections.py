"""Credentials of a source: an Airflow connection, the same one for Airflow's tasks and for the command line.

`connection: warehouse` in params.yaml names it. A task of the ingest DAG asks Airflow (its secrets backend, environment
or database) and hands it on as the environment variable `AIRFLOW_CONN_WAREHOUSE`, which the command line reads too:
JSON or a URI, as Airflow writes them. Next, both Airflow and the command line look into the home's connections.json,
where `evergreen up` writes those of the servers that it starts; they stay there when the servers are taken down. No
value of it is ever part of an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from evergreen.errors import EvergreenError, SourceError
from evergreen.files import write_atomic
from evergreen.local.ports import HOST, listens
from evergreen.paths import Home

OURS = "evergreen_"  # begins the names of the local stack's connections


class Connection(BaseModel):
    """A connection as Airflow knows it; `schema_` is a database's name."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    conn_type: str
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: SecretStr | None = None
    schema_: str | None = None
    extra: dict[str, Any] = {}

    def secret(self) -> str | None:
        """The password as plain text, for the one place that hands it to a driver."""
        return self.password.get_secret_value() if self.password else None


def variable(name: str) -> str:
    """The environment variable of a connection: `AIRFLOW_CONN_WAREHOUSE` of `warehouse`."""
    return f"AIRFLOW_CONN_{name.upper()}"


def wanted(source: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the connections that a table's `source` needs."""
    return (str(source["connection"]),) if source.get("connection") else ()


def find_connection(
    name: str, kinds: tuple[str, ...], environ: Mapping[str, str] = os.environ, home: Home | None = None
) -> Connection:
    """The connection `name`, of one of the types `kinds`: the environment's, else the one in the home.

    Raises SourceError, which names the variable or the file and never its content, where it is missing, cannot be
    read or is of another type, or is that of a server of the local stack which is down.
    """
    text, place = environ.get(variable(name), "").strip(), variable(name)
    if not text:
        home = home or _home()
        if (kept := _kept(home).get(name)) is None:
            if name.startswith(OURS):
                raise SourceError(
                    f"the connection `{name}` is not known here: `evergreen up` starts its server, and adds it"
                )
            raise SourceError(
                f"the connection `{name}` is not known here: add it in Airflow (Admin, Connections), or for the "
                f"command line set {variable(name)} to its URI or JSON"
            )
        text, place = kept if isinstance(kept, str) else json.dumps(kept), f"`{name}` in {home and home.connections}"
    try:
        found = Connection.model_validate(_from_json(text) if text.startswith("{") else _from_uri(text))
    except (ValueError, ValidationError):
        raise SourceError(
            f"{place} is neither a connection URI nor the JSON of one (its content is not shown here, since "
            f"it holds a secret); `airflow connections get {name} -o json` prints what is right"
        ) from None
    if found.conn_type not in kinds:
        raise SourceError(
            f"the connection `{name}` is of the type `{found.conn_type}`, and this source needs {' or '.join(kinds)}"
        )
    if place != variable(name) and name.startswith(OURS):
        _require_up(name, found)
    return found


def keep_connections(home: Home, found: Mapping[str, str]) -> None:
    """Write connections into the home's file, which only its owner may read; others in it stay.

    The file is there afterwards, be it empty: Airflow's LocalFilesystemBackend asks for it.
    """
    before = _kept(home)
    after = {**before, **found}
    if after != before or not home.connections.exists():
        write_atomic(home.connections, json.dumps(after, indent=2) + "\n", mode=0o600)


def _require_up(name: str, found: Connection) -> None:
    """Raise SourceError where nobody listens: a source would try for minutes, and only `evergreen up` helps.

    Airflow's tasks have the connection from their environment and do try, since the server may be restarting.
    """
    address = found.extra.get("bootstrap.servers") or found.extra.get("endpoint") or f"{found.host}:{found.port}"
    place = urlsplit("//" + str(address).rpartition("//")[2])
    if place.hostname == HOST and place.port and not listens(place.port):
        raise SourceError(
            f"the server of the connection `{name}` is down (nobody listens on {HOST}:{place.port}): `evergreen up` "
            "starts it"
        )


def _home() -> Home | None:
    from evergreen.project import find_home

    try:
        return find_home()
    except EvergreenError:  # outside of a clone
        return None


def _kept(home: Home | None) -> dict[str, Any]:
    if home is None or not home.connections.exists():
        return {}
    try:
        found = json.loads(home.connections.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SourceError(
            f"{home.connections} is not a JSON object of connections (its content is not shown here, since it holds "
            "secrets): mend it, or remove it, and `evergreen up` writes its own ones again"
        )
    return found


def _from_json(text: str) -> dict[str, Any]:
    tree = json.loads(text)
    extra = tree.get("extra") or {}
    return {**tree, "schema_": tree.get("schema"), "extra": json.loads(extra) if isinstance(extra, str) else extra}


def _from_uri(text: str) -> dict[str, Any]:
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError("no scheme")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = json.loads(query.pop("__extra__")) if "__extra__" in query else query
    kind, host = parts.scheme.replace("-", "_"), unquote(parts.hostname or "") or None
    return {
        "conn_type": "postgres" if kind == "postgresql" else kind,
        "host": host,
        "port": parts.port,
        "login": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "schema_": unquote(parts.path.lstrip("/")) or None,
        "extra": extra,
    }
