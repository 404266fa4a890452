"""supervisord: its configuration, its start, its end, and talking to it over its socket."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from evergreen.errors import ServerError
from evergreen.files import write_atomic
from evergreen.local.processes import MARK, end, marked, wait_gone
from evergreen.local.program import PYTHON, Program, log_tail
from evergreen.paths import Home

# A Unix socket's path has 104 bytes on macOS, 108 on Linux; supervisord first adds a dot and its pid.
SOCKET_LIMIT = 92


def socket_path(home: Home) -> Path:
    """Where supervisord listens: in the home, or where that path is too long for a socket, in a folder in /tmp.

    Raises ServerError where somebody else has made that folder.
    """
    path = home.run / "supervisor.sock"
    if len(os.fsencode(path)) <= SOCKET_LIMIT:
        return path
    folder = Path("/tmp") / f"evergreen-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise ServerError(
            f"{folder} is not a folder that only you can use, and {path} is too long for a socket: "
            "remove that folder, or set EVERGREEN_HOME to a shorter path"
        )
    return folder / f"{hashlib.sha256(os.fsencode(home.root)).hexdigest()[:16]}.sock"


def render(home: Home, programs: Sequence[Program]) -> str:
    """supervisord's configuration; no program starts by itself, since Airflow's wait for their database."""
    lines = [
        "; written by `evergreen up`",
        "[unix_http_server]",
        f"file = {_escape(str(socket_path(home)))}",
        "chmod = 0700",
        "",
        "[supervisord]",
        f"pidfile = {_escape(str(home.run / 'supervisord.pid'))}",
        f"logfile = {_escape(str(home.logs / 'supervisord.log'))}",
        "logfile_maxbytes = 5MB",
        "logfile_backups = 1",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for program in programs:
        lines += ["", *_section(home, program)]
    return "\n".join(lines) + "\n"


def _section(home: Home, program: Program) -> list[str]:
    command = shlex.join([*PYTHON, "-m", "evergreen.local.guard", *program.command])
    return [
        f"[program:{program.name}]",
        f"command = {_escape(command)}",
        f"directory = {_escape(str(program.folder or home.run))}",
        "autostart = false",
        "autorestart = true",
        "startsecs = 3",
        f"stopasgroup = {str(program.stop_as_group).lower()}",
        "killasgroup = true",
        f"stopwaitsecs = {program.stop_seconds}",
        f"stopsignal = {program.stop_signal}",
        "redirect_stderr = true",
        f"stdout_logfile = {_escape(str(program_log(home, program.name)))}",
        "stdout_logfile_maxbytes = 10MB",
        "stdout_logfile_backups = 1",
    ]


def _escape(text: str) -> str:
    return text.replace("%", "%%")


def program_log(home: Home, name: str) -> Path:
    """The log of one program."""
    return home.logs / f"{name}.log"


class Supervisor:
    """A running supervisord."""

    def __init__(self, home: Home) -> None:
        self._url = f"unix://{socket_path(home)}"

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of its `supervisor` interface. Raises OSError when nobody answers, Fault when refused."""
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, self._url)
        try:
            return getattr(ServerProxy("http://127.0.0.1", transport=transport).supervisor, method)(*arguments)
        except HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            transport.close()

    def states(self) -> dict[str, dict[str, Any]]:
        """supervisord's record of each program: statename, pid, spawnerr, start..."""
        return {info["name"]: info for info in self.call("getAllProcessInfo")}

    def start(self, name: str) -> None:
        """Start a program if it does not run, and do not wait for it."""
        with contextlib.suppress(Fault):  # ALREADY_STARTED
            self.call("startProcess", name, False)


def connect(home: Home) -> Supervisor | None:
    """The home's supervisord, or None when none answers."""
    if not socket_path(home).exists():
        return None
    supervisor = Supervisor(home)
    try:
        supervisor.call("getState")
    except OSError:
        return None
    return supervisor


def launch(home: Home, programs: Sequence[Program], environ: Mapping[str, str]) -> Supervisor:
    """Start supervisord in the background. Raises ServerError with its log when it does not answer in 15 s."""
    for folder in (home.run, home.logs):
        folder.mkdir(parents=True, exist_ok=True)
    configuration = home.run / "supervisord.conf"
    write_atomic(configuration, render(home, programs))
    socket_path(home).unlink(missing_ok=True)
    run = subprocess.run(
        [*PYTHON, "-m", "supervisor.supervisord", "-c", str(configuration)],
        env={**environ, MARK: str(home.root)}, cwd=home.run, capture_output=True, text=True, check=False,
    )  # fmt: skip
    deadline = time.monotonic() + 15
    while run.returncode == 0 and time.monotonic() < deadline:
        supervisor = connect(home)
        if supervisor is not None:
            return supervisor
        time.sleep(0.05)
    raise ServerError(f"supervisord did not start: {run.stderr.strip()}\n{log_tail(home.logs / 'supervisord.log')}")


def shut_down(home: Home, timeout: float = 60) -> int:
    """End supervisord and everything that carries the home's mark; return how many had to be ended singly.

    The shutdown call returns before it is done, so this waits for the process; what a task of a stopped scheduler
    still runs is ended after it.
    """
    import psutil

    running = connect(home)
    if running is not None:
        with contextlib.suppress(OSError, Fault, psutil.NoSuchProcess):
            process = psutil.Process(running.call("getPID"))
            # All at once: its own shutdown stops one program after the other.
            running.call("stopAllProcesses", False)
            _wait_stopped(running, timeout)
            running.call("shutdown")
            wait_gone([process], timeout)
    ended = end(marked(str(home.root)), grace=5)
    socket_path(home).unlink(missing_ok=True)
    return ended


def _wait_stopped(supervisor: Supervisor, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not any(info["pid"] for info in supervisor.states().values()):
            return
        time.sleep(0.05)
