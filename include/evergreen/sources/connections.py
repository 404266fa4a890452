"""Credentials of a source: an Airflow connection, the same one for Airflow's tasks and for the command line.

`connection: warehouse` in params.yaml names it. A task of the ingest DAG asks Airflow (its secrets backend, environment
or database) and hands it on as the environment variable `AIRFLOW_CONN_WAREHOUSE`, which the command line reads too:
JSON or a URI, as Airflow writes them. No value of it is ever part of an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from evergreen.errors import SourceError


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


def find_connection(name: str, kinds: tuple[str, ...], environ: Mapping[str, str] = os.environ) -> Connection:
    """The connection `name`, of one of the types `kinds`.

    Raises SourceError, which names the variable and never its content, where it is missing, cannot be read or is of
    another type.
    """
    text = environ.get(variable(name), "").strip()
    if not text:
        raise SourceError(
            f"the connection `{name}` is not known here: add it in Airflow (Admin, Connections), or for the command "
            f"line set {variable(name)} to its URI or JSON"
        )
    try:
        found = Connection.model_validate(_from_json(text) if text.startswith("{") else _from_uri(text))
    except (ValueError, ValidationError):
        raise SourceError(
            f"{variable(name)} is neither a connection URI nor the JSON of one (its content is not shown here, since "
            f"it holds a secret); `airflow connections get {name} -o json` prints what is right"
        ) from None
    if found.conn_type not in kinds:
        raise SourceError(
            f"the connection `{name}` is of the type `{found.conn_type}`, and this source needs {' or '.join(kinds)}"
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
