"""Airflow's secrets are made once and are nobody else's to read."""

from __future__ import annotations

import configparser
import stat
from pathlib import Path

import pytest

from evergreen.errors import ServerError
from evergreen.local import airflow
from evergreen.paths import Home


def test_secrets_are_private_and_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    airflow.prepare(home)
    files = [home.airflow / "airflow.cfg", home.airflow / "passwords.json"]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    before = [file.read_bytes() for file in files]
    airflow.prepare(home)
    assert [file.read_bytes() for file in files] == before


def test_every_home_has_secrets_of_its_own(tmp_path: Path) -> None:
    homes = [Home(tmp_path / "a"), Home(tmp_path / "b")]
    found = []
    for home in homes:
        airflow.prepare(home)
        parser = configparser.ConfigParser()
        parser.read(home.airflow / "airflow.cfg")
        secrets = [value for section in parser.sections() for value in parser[section].values()]
        found.append({*secrets, airflow.password(home)})
    assert len(found[0]) == 4
    assert min(len(secret) for secret in found[0]) >= 16
    assert not found[0] & found[1]


def test_a_password_before_the_first_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="evergreen up"):
        airflow.password(Home(tmp_path))


def test_a_failed_migration_shows_its_log(tmp_path: Path) -> None:
    home = Home(tmp_path)
    environ = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////no/such/folder/a.db"}
    with pytest.raises(ServerError, match=r"db migrate` failed; .*migrate.log ends with\n    "):
        airflow.migrate(home, environ)
    assert not (home.airflow / "migrated.txt").exists()
