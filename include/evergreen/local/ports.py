"""The ports of the local stack: one setting, EVERGREEN_PORT, and a fixed offset for each server."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evergreen.errors import ServerError
from evergreen.paths import Home

HOST = "127.0.0.1"
DEFAULT = 8080
# 6 to 9 are kept free for the servers to come, such as the scoring service; a project's own follow.
OFFSETS = {"airflow": 0, "mlflow": 1, "postgres": 2, "kafka": 3, "kafka-controller": 4, "gcs": 5}
OFFSETS |= {f"service-{number}": 10 + number for number in range(10)}
ALWAYS = ("airflow", "mlflow")  # the others run where a project asks for them (servers.py)


@dataclass(frozen=True)
class Ports:
    """The base port, which is Airflow's, and what follows from it."""

    base: int

    @property
    def airflow_url(self) -> str:
        return f"http://{HOST}:{self.base + OFFSETS['airflow']}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{HOST}:{self.base + OFFSETS['mlflow']}"

    def of(self, server: str) -> int:
        """The port of one of OFFSETS."""
        return self.base + OFFSETS[server]


def wanted_ports(environ: Mapping[str, str] = os.environ) -> Ports | None:
    """The ports that EVERGREEN_PORT asks for; None where it is not set. Raises ServerError for a bad value."""
    text = environ.get("EVERGREEN_PORT", "").strip()
    if not text:
        return None
    if not text.isdecimal() or not 1024 <= int(text) <= 65_000:
        raise ServerError(f"EVERGREEN_PORT is `{text}`; it must be a port from 1024 to 65000, such as {DEFAULT}")
    return Ports(int(text))


def current_ports(home: Home) -> Ports:
    """The ports of the stack that was started last and not taken down, else those wanted, else the default."""
    return recorded_ports(home) or wanted_ports() or Ports(DEFAULT)


def recorded_ports(home: Home) -> Ports | None:
    """The ports that `up` wrote down for the other commands; None when the stack is down."""
    try:
        return Ports(int(json.loads((home.run / "stack.json").read_text())["port"]))
    except (FileNotFoundError, ValueError, KeyError):
        return None


def require_free(ports: Ports, servers: Iterable[str] = ALWAYS) -> None:
    """Raise ServerError naming every port of the servers that somebody else listens on, and the way out."""
    busy = [
        f"{ports.of(server)} ({server}{_holder(ports.of(server))})" for server in servers if _busy(ports.of(server))
    ]
    if busy:
        raise ServerError(
            f"port {', '.join(busy)} is in use on {HOST}. Stop that program, or choose another base port: "
            f"EVERGREEN_PORT={ports.base + 1000}, or with make, `make demo PORT={ports.base + 1000}`"
        )


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        return probe.connect_ex((HOST, port)) == 0


def _busy(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that is still closing does not make the port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return True
            raise
    return False


def _holder(port: int) -> str:
    """`, held by postgres, pid 12`, where this user may see it."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f", held by {psutil.Process(connection.pid).name()}, pid {connection.pid}"
    except psutil.Error:
        pass
    return ""
