"""`make secrets`: writes .env with random secrets and the settings of docker-compose.yaml. What is there stays.

Nobody but its owner can read it, and git ignores it. A value in it may be replaced by one's own, such as the URL of a
managed PostgreSQL; docs/deploy.md says which. One with a dollar or a number sign stands in single quotes there, and in
URLs passwords are percent-encoded.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

POSTGRES = "postgres:5432"
KEPT = {"postgres": "POSTGRES_PASSWORD", "redis": "REDIS_PASSWORD"}


def made(there: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Heading to settings, in the order in which they are written; a password that is there is the one in its URL."""
    word = {name: secrets.token_hex(16) for name in ("postgres", "airflow", "mlflow", "owner", "loop", "demo", "redis")}
    word |= {role: there[name] for role, name in KEPT.items() if there.get(name)}
    postgres, redis = (quote(word[role], safe="") for role in KEPT)
    airflow = f"postgresql+psycopg2://airflow:{word['airflow']}@{POSTGRES}/airflow"
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
            "EVERGREEN_POSTGRES_ADMIN_URL": f"postgresql://postgres:{postgres}@{POSTGRES}/postgres",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{there.get('AIRFLOW__DATABASE__SQL_ALCHEMY_CONN', airflow)}",
            "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://mlflow:{word['mlflow']}@{POSTGRES}/mlflow",
            "EVERGREEN_LEDGER_OWNER_URL": f"postgresql://evergreen_owner:{word['owner']}@{POSTGRES}/evergreen",
            "EVERGREEN_LEDGER_URL": f"postgresql://evergreen:{word['loop']}@{POSTGRES}/evergreen",
            "AIRFLOW_CONN_EVERGREEN_POSTGRES": f"postgres://demo:{word['demo']}@{POSTGRES}/demo",
        },
        "Redis": {
            "REDIS_PASSWORD": word["redis"],
            "AIRFLOW__CELERY__BROKER_URL": f"redis://:{redis}@redis:6379/0",
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
    there = read(before)
    parts, added = [before.rstrip("\n")] if before else [], []
    for heading, settings in made(there).items():
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
    path.chmod(0o600)
    return added


def read(text: str) -> dict[str, str]:
    """The settings of a .env, whose values may stand in quotes."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[name.strip()] = value[1:-1] if quoted else value
    return found


def main() -> None:
    """Write the file that is named, else .env."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else ".env")
    added = write(path)
    print(f"{path}: " + (f"{len(added)} settings added" if added else "all settings are there; nothing was changed"))


if __name__ == "__main__":
    main()
