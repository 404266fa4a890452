"""Airflow on one machine: its settings, its secrets, its database and its three servers."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from evergreen.errors import ServerError
from evergreen.files import write_atomic
from evergreen.local.ports import HOST, Ports
from evergreen.local.program import PYTHON, Program, log_tail
from evergreen.paths import Home
from evergreen.project import Project

USER = "admin"
USERS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"

# Measured on two cores: eight small tasks in 3 to 8 s instead of 10 to 46. A value that is already in the
# environment wins, as in `AIRFLOW__CORE__PARALLELISM=8 make up`.
TUNING = {
    "AIRFLOW__CORE__PARALLELISM": "4",
    # A DAG that appears unpaused runs at once where its cron's last time is past by no more than a tenth of the gap
    # between two (or 5 minutes), and by each asset event. A person, or the demo, says when it may.
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    # A finished task else sometimes keeps its worker for 5 s.
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # A task whose scheduler was killed is taken up again after seconds, not after five minutes: one that starts looks
    # for such tasks at once, but believes in the killed one until that has been silent for the threshold.
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "AIRFLOW__API__WORKERS": "1",
}
FIXED = {
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
    "AIRFLOW__API__HOST": HOST,
}
LOCAL_SETTINGS = '''"""Written by `evergreen up`: what every Airflow process does at its start."""

from evergreen.local import preload

preload.install()
'''


def settings(project: Project, ports: Ports) -> dict[str, str]:
    """Airflow's part of the environment. The keys are in airflow.cfg, which only its owner may read."""
    home = project.home.airflow
    found = {
        **{name: os.environ.get(name, value) for name, value in TUNING.items()},
        **FIXED,
        USERS: _users(),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(home / "airflow.cfg"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project.root / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project.root / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords(project.home)),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{ports.airflow_url}/execution/",
        # SQLite has one writer at a time; on a busy machine 5 s, its default, is too short to wait for one's turn.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=30",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "dag_processor"),
        **_secrets_backend(project.home),
        "AIRFLOW__API__PORT": str(ports.of("airflow")),
        "AIRFLOW__API__BASE_URL": ports.airflow_url,
        # setproctitle must leave the environment alone: leftovers are found by it.
        "SPT_NOENV": "1",
    }
    if sys.platform == "linux":
        # Python 3.14 turns to forkserver, whose workers would import everything again.
        found["AIRFLOW__CORE__MP_START_METHOD"] = "fork"
    return found


def programs() -> list[Program]:
    """The servers, in the order in which a person thinks of them."""
    run = (*PYTHON, "-m", "airflow")
    return [
        Program("api-server", (*run, "api-server")),
        # A signal to its group would end the workers, whose tasks are given until `stop_seconds`.
        Program("scheduler", (*run, "scheduler", "--skip-serve-logs"), stop_as_group=False),
        Program("dag-processor", (*run, "dag-processor")),
    ]


def prepare(home: Home) -> None:
    """Make what Airflow reads at its start; secrets are made once and kept."""
    configuration, passwords = home.airflow / "airflow.cfg", _passwords(home)
    if not configuration.exists():
        fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        write_atomic(
            configuration,
            f"[core]\nfernet_key = {fernet}\n\n[api]\nsecret_key = {secrets.token_hex(32)}\n\n"
            f"[api_auth]\njwt_secret = {secrets.token_hex(64)}\n",
            mode=0o600,
        )
    if not passwords.exists():
        write_atomic(passwords, json.dumps({USER: secrets.token_urlsafe(12)}), mode=0o600)
    write_atomic(home.airflow / "config" / "airflow_local_settings.py", LOCAL_SETTINGS)


def password(home: Home, user: str = USER) -> str:
    """A user's password; the admin's may be in AIRFLOW_ADMIN_PASSWORD. Raises ServerError where no stack ever was."""
    if user == USER and (given := os.environ.get("AIRFLOW_ADMIN_PASSWORD")):
        return given
    try:
        return str(json.loads(_passwords(home).read_text())[user])
    except FileNotFoundError:
        raise ServerError(f"there is no Airflow in {home.airflow} yet: `evergreen up` makes it") from None


def migrate(home: Home, environ: Mapping[str, str], timeout: float = 180) -> bool:
    """Bring Airflow's database to the installed version; False where it is there already.

    It must be done before the servers start, which would race for it. Raises ServerError with the log's end.
    """
    version, stamp = importlib.metadata.version("apache-airflow-core"), home.airflow / "migrated.txt"
    if (home.airflow / "airflow.db").exists() and stamp.exists() and stamp.read_text() == version:
        return False
    home.logs.mkdir(parents=True, exist_ok=True)
    log = home.logs / "migrate.log"
    with log.open("wb") as stream:
        run = subprocess.run(
            [*PYTHON, "-m", "airflow", "db", "migrate"],
            env=dict(environ), stdout=stream, stderr=subprocess.STDOUT, timeout=timeout, check=False,
        )  # fmt: skip
    if run.returncode != 0:
        raise ServerError(f"`airflow db migrate` failed; {log} ends with\n{log_tail(log)}")
    write_atomic(stamp, version)
    return True


def _users() -> str:
    """The admin, and whoever the environment names as `<user>:<role>,..`; Airflow makes their passwords."""
    given = [one for one in os.environ.get(USERS, "").split(",") if one and one.partition(":")[0] != USER]
    return ",".join([f"{USER}:admin", *given])


def _secrets_backend(home: Home) -> dict[str, str]:
    """Airflow finds the connections of the stack's servers in a file; a backend that is set already wins."""
    if "AIRFLOW__SECRETS__BACKEND" in os.environ:
        return {}
    return {
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(home.connections)}),
    }


def _passwords(home: Home) -> Path:
    return home.airflow / "passwords.json"
