"""Waiting until the servers answer, and saying why one does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.clock import parse_time
from evergreen.errors import ServerError
from evergreen.local.ports import Ports
from evergreen.local.program import log_tail
from evergreen.local.servers import Server
from evergreen.local.supervisor import Supervisor, program_log
from evergreen.paths import Home

if TYPE_CHECKING:
    import httpx


def client(timeout: float = 5) -> httpx.Client:
    """An HTTP client for loopback, which no proxy setting of the machine leads astray."""
    import httpx

    return httpx.Client(timeout=timeout, trust_env=False)


ALWAYS_THERE = frozenset({"mlflow", "api-server", "scheduler", "dag-processor"})


@dataclass
class Waiting:
    """A stack that comes up. `since` is when it was started: an older heartbeat is that of an earlier life."""

    home: Home
    ports: Ports
    supervisor: Supervisor
    since: datetime
    progress: Callable[[str], None]
    asked: Sequence[Server] = ()  # that not every project has
    left: set[str] = field(default_factory=lambda: set(ALWAYS_THERE))

    def run(self, timeout: float) -> None:
        """Return when every server is healthy. Raises ServerError naming the one that is not, with its log."""
        began, warm = time.monotonic(), False
        with client() as http:
            while self.left:
                for server in sorted(self.left & healthy(http, self.ports, self._asked_left, self.since)):
                    self.left.discard(server)
                    self.progress(f"{server} is up ({time.monotonic() - began:.0f} s)")
                if not warm and "api-server" not in self.left:
                    warm_up(http, self.ports)
                    warm = True
                self._fail_if_dead()
                if self.left and time.monotonic() - began > timeout:
                    raise self._error(sorted(self.left)[0], f"is not healthy after {timeout:.0f} s")
                time.sleep(0.2 if self.left else 0)

    @property
    def _asked_left(self) -> list[Server]:
        return [server for server in self.asked if server.name in self.left]

    def _fail_if_dead(self) -> None:
        try:
            states = self.supervisor.states()
        except OSError:
            raise self._error("supervisord", "is gone") from None
        for name in sorted(self.left):
            if states[name]["statename"] in ("FATAL", "STOPPED", "EXITED"):
                raise self._error(name, f"does not start ({states[name]['spawnerr'] or 'it ends at once'})")

    def _error(self, name: str, what: str) -> ServerError:
        log = program_log(self.home, name)
        return ServerError(
            f"{name} {what}. {log} ends with\n{log_tail(log)}\n"
            "`evergreen down` stops the servers that did start; `evergreen up` tries again"
        )


def healthy(http: httpx.Client, ports: Ports, asked: Sequence[Server], since: datetime | None = None) -> set[str]:
    """Which of ALWAYS_THERE and `asked` say that they are well.

    A scheduler's or processor's heartbeat must be after `since`.
    """
    found = {server.name for server in asked if server.is_ready(ports.of(server.ports[0]))}
    if _get(http, f"{ports.mlflow_url}/health") is not None:
        found.add("mlflow")
    answer = _get(http, f"{ports.airflow_url}/api/v2/monitor/health")
    if answer is None:
        return found
    found.add("api-server")
    for server, key in (("scheduler", "scheduler"), ("dag-processor", "dag_processor")):
        part = answer.json().get(key) or {}
        if part.get("status") == "healthy" and _after(part.get(f"latest_{key}_heartbeat"), since):
            found.add(server)
    return found


def warm_up(http: httpx.Client, ports: Ports) -> None:
    """Make the API server build the part that tasks talk to, some seconds that the first task would wait."""
    import httpx

    try:
        http.get(f"{ports.airflow_url}/execution/health", timeout=60)
    except httpx.HTTPError:
        return  # a first task that waits is no reason to fail


def _get(http: httpx.Client, url: str) -> Any:
    import httpx

    try:
        answer = http.get(url)
    except httpx.HTTPError:
        return None
    return answer if answer.status_code == 200 else None


def _after(heartbeat: str | None, since: datetime | None) -> bool:
    return since is None or (heartbeat is not None and parse_time(heartbeat) >= since)
