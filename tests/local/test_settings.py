"""What the servers and their tasks find in their environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from evergreen.local import airflow
from evergreen.local.ports import Ports
from evergreen.local.settings import environment, settings
from evergreen.project import Project

MakeProject = Callable[..., Project]


def test_everything_is_of_this_project_and_home(make_project: MakeProject) -> None:
    project = make_project()
    found = settings(project, Ports(9000))
    assert found["AIRFLOW_HOME"] == str(project.home.airflow)
    assert found["AIRFLOW__CORE__DAGS_FOLDER"] == str(project.root / "dags")
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{project.home.airflow}/airflow.db?timeout=30"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:9000/execution/"
    assert found["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9001"
    assert found["EVERGREEN_PROJECT"] == str(project.root)
    assert found["EVERGREEN_HOME"] == str(project.home.root)
    assert found["EVERGREEN_PORT"] == "9000"
    assert found["OMP_NUM_THREADS"] == "1"


def test_no_secret_is_in_the_environment(make_project: MakeProject) -> None:
    project = make_project()
    airflow.prepare(project.home)
    text = "\n".join(environment(project).values())
    assert airflow.password(project.home) not in text
    for line in (project.home.airflow / "airflow.cfg").read_text().splitlines():
        key, _, secret = line.partition(" = ")
        assert not secret or secret not in text, key


def test_what_would_mislead_a_server_is_dropped(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONDONTWRITEBYTECODE", "SUPERVISOR_PROCESS_NAME", "AIRFLOW_CONFIG", "EVERGREEN_BUILD"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production/airflow")
    monkeypatch.setenv("KEPT", "yes")
    found = environment(make_project())
    assert "PYTHONDONTWRITEBYTECODE" not in found
    assert "SUPERVISOR_PROCESS_NAME" not in found
    assert "EVERGREEN_BUILD" not in found
    assert found["AIRFLOW_CONFIG"].endswith("/airflow/airflow.cfg")
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("sqlite:")
    assert found["KEPT"] == "yes"


def test_a_tuning_value_of_the_user_wins(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "8")
    found = settings(make_project())
    assert found["AIRFLOW__CORE__PARALLELISM"] == "8"
    assert found["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "True"


def test_loopback_goes_past_a_proxy(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert settings(make_project())["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_airflow_knows_every_setting(make_project: MakeProject) -> None:
    """A misspelt name would be ignored in silence."""
    project = make_project()
    airflow.prepare(project.home)
    names = [name for name in settings(project) if name.startswith("AIRFLOW__")]
    code = (
        "import sys, airflow.configuration as c\n"
        "known = c.conf.configuration_description\n"
        "for name in sys.argv[1:]:\n"
        "    section, key = name.removeprefix('AIRFLOW__').lower().split('__', 1)\n"
        "    if key not in known.get(section, {}).get('options', {}):\n"
        "        print(name)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *names], env=environment(project), capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []
