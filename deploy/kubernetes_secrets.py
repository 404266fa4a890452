"""The Kubernetes Secrets that values.yaml and mlflow.yaml name, from the .env that `make secrets` wrote.

    python deploy/kubernetes_secrets.py .env | kubectl apply --namespace evergreen -f -

In .env the addresses are those of docker-compose.yaml's own servers; put those of your PostgreSQL and Redis in first.
Each Secret has what its pods need and no more: the loop may add to the ledger but owns nothing in it, and only the
api-server and the scheduler have the key that tokens of tasks are signed with. Connections in .env (AIRFLOW_CONN_...)
go to the loop.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from make_secrets import read

# Secret to what it holds: the key in it, and the setting's name in .env.
SECRETS = {
    "evergreen": {
        name: name
        for name in (
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
            "AIRFLOW__CELERY__RESULT_BACKEND",
            "AIRFLOW__CELERY__BROKER_URL",
            "AIRFLOW__CORE__FERNET_KEY",
            "AIRFLOW__API__SECRET_KEY",
            "EVERGREEN_LEDGER_URL",
            "MLFLOW_TRACKING_PASSWORD",
        )
    },
    "evergreen-jwt": {"jwt-secret": "AIRFLOW__API_AUTH__JWT_SECRET"},
    "evergreen-init": {
        name: name
        for name in (
            "AIRFLOW_ADMIN_PASSWORD",
            "EVERGREEN_LEDGER_OWNER_URL",
            "EVERGREEN_POSTGRES_ADMIN_URL",
            "MLFLOW_BACKEND_STORE_URI",
        )
    },
    "evergreen-mlflow": {
        name: name
        for name in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY")
    },
}
# Without it nobody makes roles and databases: they are there already.
OPTIONAL = {"EVERGREEN_POSTGRES_ADMIN_URL"}


def manifests(settings: dict[str, str]) -> list[dict[str, object]]:
    """The Secrets, ready to be applied. Exits where .env lacks something that a pod needs."""
    needed = {name for names in SECRETS.values() for name in names.values()} - OPTIONAL
    if missing := sorted(name for name in needed if not settings.get(name)):
        sys.exit(f".env has no {', '.join(missing)}: `make secrets` adds what it lacks")
    made: list[dict[str, object]] = []
    for secret, names in SECRETS.items():
        data = {key: settings[name] for key, name in names.items() if settings.get(name)}
        if secret == "evergreen":
            data |= {name: value for name, value in settings.items() if name.startswith("AIRFLOW_CONN_") and value}
        made.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "stringData": data})
    return made


def main() -> None:
    """Print them for kubectl, which takes JSON as it takes YAML."""
    if len(sys.argv) != 2:
        sys.exit("which .env? python deploy/kubernetes_secrets.py .env")
    print(
        json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": manifests(read(Path(sys.argv[1]).read_text()))}, indent=1
        )
    )


if __name__ == "__main__":
    main()
