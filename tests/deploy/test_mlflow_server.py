"""How MLflow's server is started: with any password and URL, and for the address that people's browsers know."""

from __future__ import annotations

import configparser
import os
import subprocess
from pathlib import Path

START = Path(__file__).parents[2] / "deploy/mlflow-server"
URL = "postgresql+psycopg2://mlflow:a%40b%25c@db:5432/mlflow?sslmode=require"
PASSWORD = "50%(of)s $HOME `id` \"'\\ #;"


def test_the_settings_file_is_read_as_it_was_meant(tmp_path: Path) -> None:
    started(tmp_path)
    read = configparser.ConfigParser()
    read.read(tmp_path / "auth.ini")
    assert read["mlflow"]["database_uri"] == URL
    assert (tmp_path / "auth.ini").stat().st_mode & 0o077 == 0


def test_the_first_password_is_in_the_environment_alone(tmp_path: Path) -> None:
    arguments, password = started(tmp_path)
    assert password == PASSWORD
    assert PASSWORD not in "".join(arguments)
    assert PASSWORD not in (tmp_path / "auth.ini").read_text()


def test_the_pages_may_ask_from_the_address_where_people_find_them(tmp_path: Path) -> None:
    """Another origin than localhost is refused by MLflow unless it is named, its own included."""
    assert "--cors-allowed-origins" not in started(tmp_path)[0]
    arguments, _ = started(tmp_path, EVERGREEN_MLFLOW_URL="https://evergreen.example.org:5443/")
    origin = arguments[arguments.index("--cors-allowed-origins") + 1]
    assert origin == "https://evergreen.example.org:5443"


def started(folder: Path, **settings: str) -> tuple[list[str], str]:
    """The arguments of `mlflow`, and the password in its environment, where it would start."""
    program = folder / "mlflow"
    program.write_text('#!/bin/sh\nprintf \'%s\\n\' "$@"\nprintf %s "$MLFLOW_AUTH_ADMIN_PASSWORD"\n')
    program.chmod(0o755)
    given = {
        "PATH": f"{folder}:{os.environ['PATH']}", "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_BACKEND_STORE_URI": URL, "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }  # fmt: skip
    run = subprocess.run([START], env=given | settings, capture_output=True, text=True, check=True, timeout=60)
    *arguments, password = run.stdout.split("\n")
    return arguments, password
