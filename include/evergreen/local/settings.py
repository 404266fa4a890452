"""The environment of the local servers, of the tasks that they run, and of commands that talk to them."""

from __future__ import annotations

import os

from evergreen.local import airflow, mlflow
from evergreen.local.ports import HOST, Ports, current_ports
from evergreen.project import Project

# One thread per process: two of them double the CPU time of a fit on a busy machine, and change a model's bytes.
COMMON = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
# Without bytecode every start of Airflow takes twice as long; the others would lead a server to another Airflow.
DROPPED = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "AIRFLOW_CONFIG", "AIRFLOW_HOME", "EVERGREEN_BUILD")


def settings(project: Project, ports: Ports | None = None) -> dict[str, str]:
    """What a server or a task of this project's stack needs in its environment; no secret is among it."""
    ports = ports or current_ports(project.home)
    return {
        **COMMON,
        **airflow.settings(project, ports),
        **mlflow.settings(ports),
        "EVERGREEN_PROJECT": str(project.root),
        "EVERGREEN_HOME": str(project.home.root),
        "EVERGREEN_PORT": str(ports.base),
        **_path(project),
        **_no_proxy(),
    }


def environment(project: Project, ports: Ports | None = None) -> dict[str, str]:
    """The whole environment for a subprocess: the caller's, without what would mislead it, and `settings`."""
    kept = {
        name: value for name, value in os.environ.items() if name not in DROPPED and not name.startswith("SUPERVISOR_")
    }
    return {**kept, **settings(project, ports)}


def _path(project: Project) -> dict[str, str]:
    """The project's own library before an installed one, so that a clone runs its own code."""
    include = project.root / "include"
    return {"PYTHONPATH": str(include)} if include.is_dir() else {}


def _no_proxy() -> dict[str, str]:
    """Keep loopback traffic away from a machine's HTTP proxy."""
    known = [host for host in os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")).split(",") if host]
    hosts = ",".join(dict.fromkeys([*known, HOST, "localhost"]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}
