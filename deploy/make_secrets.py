"""`make secrets`: writes .env with random secrets and the settings of docker-compose.yaml. What is there stays.

Nobody but its owner can read it, and git ignores it. A value in it may be replaced by one's own, such as the URL of a
managed PostgreSQL; docs/deploy.md says which.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

POSTGRES = "postgres:5432"


def made() -> dict[str, dict[str, str]]:
    """Heading to settings, in the order in which they are written."""
    word = {name: secrets.token_hex(16) for name in ("postgres", "airflow", "mlflow", "owner", "loop", "demo", "redis")}
    airflow = f"airflow:{word['airflow']}@{POSTGRES}/airflow"
    return {
        "Who logs in": {
            "AIRFLOW_ADMIN_PASSWORD": secrets.token_urlsafe(12),
            "MLFLOW_TRACKING_PASSWORD": secrets.token_urlsafe(12),
        },
        "Where the pages are published: on this machine alone": {
            "BIND": "127.0.0.1",
            "AIRFLOW_PORT": "8080",
            "MLFLOW_PORT": "5000",
        },
        "PostgreSQL": {
            "POSTGRES_PASSWORD": word["postgres"],
            "EVERGREEN_POSTGRES_ADMIN_URL": f"postgresql://postgres:{word['postgres']}@{POSTGRES}/postgres",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{airflow}",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{airflow}",
            "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://mlflow:{word['mlflow']}@{POSTGRES}/mlflow",
            "EVERGREEN_LEDGER_OWNER_URL": f"postgresql://evergreen_owner:{word['owner']}@{POSTGRES}/evergreen",
            "EVERGREEN_LEDGER_URL": f"postgresql://evergreen:{word['loop']}@{POSTGRES}/evergreen",
            "AIRFLOW_CONN_EVERGREEN_POSTGRES": f"postgres://demo:{word['demo']}@{POSTGRES}/demo",
        },
        "Redis": {
            "REDIS_PASSWORD": word["redis"],
            "AIRFLOW__CELERY__BROKER_URL": f"redis://:{word['redis']}@redis:6379/0",
        },
        "Keys that Airflow and MLflow sign and encrypt with": {
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        },
    }


def write(path: Path) -> list[str]:
    """Add to the file what it lacks, and give the names of that; the file is whole at any moment."""
    before = path.read_text() if path.exists() else ""
    there = {line.partition("=")[0].strip() for line in before.splitlines() if "=" in line and line.lstrip()[:1] != "#"}
    parts, added = [before.rstrip("\n")] if before else [], []
    for heading, settings in made().items():
        missing = {name: value for name, value in settings.items() if name not in there}
        if missing:
            parts.append("\n".join([f"# {heading}", *(f"{name}={value}" for name, value in missing.items())]))
            added += missing
    if added:
        temporary = path.with_name(f"{path.name}.part")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write("\n\n".join(parts) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    return added


def main() -> None:
    """Write the file that is named, else .env."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else ".env")
    added = write(path)
    print(f"{path}: " + (f"{len(added)} settings added" if added else "all settings are there; nothing was changed"))


if __name__ == "__main__":
    main()
