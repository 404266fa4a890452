"""The MLflow tracking server on one machine: SQLite, artifacts through the server."""

from __future__ import annotations

import os

from evergreen.local.ports import HOST, Ports, current_ports
from evergreen.local.program import PYTHON, Program
from evergreen.paths import Home


def settings(ports: Ports) -> dict[str, str]:
    """MLflow's part of the environment, for the server and for whoever logs to it."""
    return {
        "MLFLOW_TRACKING_URI": ports.mlflow_url,
        # The job runner would be another 600 MB for what nobody here uses.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def find(home: Home) -> None:
    """Name this home's own server to a command of a shell where no variable names one; one that is empty says none.

    Without, a promotion would be taken for one of a loop that has no MLflow, and no alias would ever follow it.
    """
    if (home.mlflow / "mlflow.db").exists():
        os.environ.setdefault("MLFLOW_TRACKING_URI", current_ports(home).mlflow_url)


def program(home: Home, ports: Ports) -> Program:
    """The server. Its parent makes the database before the one worker starts, so that nothing races for it."""
    port = ports.of("mlflow")
    command = (
        *PYTHON, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1",
        "--allowed-hosts", f"{HOST}:{port},localhost:{port}",
        "--backend-store-uri", f"sqlite:///{home.mlflow}/mlflow.db",
        "--serve-artifacts", "--artifacts-destination", str(home.mlflow / "artifacts"),
    )  # fmt: skip
    return Program("mlflow", command)


def prepare(home: Home) -> None:
    """Make the folders that the server expects."""
    (home.mlflow / "artifacts").mkdir(parents=True, exist_ok=True)
