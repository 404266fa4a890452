"""What `init` makes: roles and databases by an administrator who is no superuser, the clone, and no secret on show."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import make_url

from tests.servers import PostgresServer

INIT = Path(__file__).parents[2] / "deploy/init.py"
ODD = "a b@c:d/e%f#g$h'i\"j\\k"  # what a person may choose


@pytest.fixture(scope="module")
def init() -> dict[str, Any]:
    return runpy.run_path(str(INIT), run_name="init")


def test_roles_and_databases_are_made_once_by_an_administrator_who_is_no_superuser(
    init: dict[str, Any], postgres_server: PostgresServer
) -> None:
    """As a managed PostgreSQL's is, with passwords of any kind; by two at the same time, and once more."""
    with (postgres_server.data / "pg_hba.conf").open("a") as rules:
        rules.write("host all keeper,initowner,initloop 127.0.0.1/32 scram-sha-256\n")
    postgres_server.run("CREATE ROLE keeper LOGIN CREATEROLE CREATEDB PASSWORD 'k'", "SELECT pg_reload_conf()")
    admin = url(postgres_server, "keeper", "k", "postgres")
    owner, loop = (url(postgres_server, name, ODD, "initledger") for name in ("initowner", "initloop"))

    def make(_: int) -> None:
        with init["alone"](admin):
            init["make_databases"](admin, [loop, owner], owners={"initledger": owner})

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(make, range(2)))
    make(2)
    with init["connect"](owner) as connection:
        connection.execute("CREATE TABLE decisions (number int)")
    with init["connect"](loop) as connection:
        connection.execute("INSERT INTO decisions VALUES (1)")
        rights = "SELECT has_table_privilege('decisions', right_) FROM unnest(ARRAY['SELECT', 'UPDATE']) right_"
        assert connection.execute(rights).fetchall() == [(True,), (False,)]


def test_a_clone_follows_the_image_after_an_init_that_was_killed(
    init: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, project = tmp_path / "image", tmp_path / "volume" / "project"
    git(tmp_path, "init", "--quiet", str(image))
    commit(image, "one")
    monkeypatch.setitem(init["make_clone"].__globals__, "IMAGE", image)
    init["make_clone"](project)
    git(project, "tag", "build/flights/1")
    commit(image, "two")
    (project / ".git/index.lock").touch()
    init["make_clone"](project)
    assert (project / "params.yaml").read_text() == "two"
    assert git(project, "rev-parse", "HEAD") == git(image, "rev-parse", "HEAD")
    assert git(project, "tag") == "build/flights/1"


def test_an_image_may_be_built_in_a_clone_without_history(
    init: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a CI system makes them. The Dockerfile's lines are run as they are there, for two commits."""
    lines = re.findall(r"git (?:-C /opt/evergreen|init) [^\\\n]*", (INIT.parents[1] / "Dockerfile").read_text())
    git(tmp_path, "init", "--quiet", str(tmp_path / "team"))
    project = tmp_path / "project"
    for name in ("one", "two"):
        commit(tmp_path / "team", name)
        git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{tmp_path}/team", str(tmp_path / name))
        places = {"/build/.git": f"{tmp_path}/{name}/.git", "/opt/evergreen": f"{tmp_path}/image-{name}"}
        script = " && ".join(lines)
        for place, here in places.items():
            script = script.replace(place, here)
        subprocess.run(["sh", "-ec", script], check=True, capture_output=True, timeout=60)
        monkeypatch.setitem(init["make_clone"].__globals__, "IMAGE", tmp_path / f"image-{name}")
        init["make_clone"](project)
        assert (project / "params.yaml").read_text() == name
        assert git(project, "rev-parse", "HEAD") == git(tmp_path / "team", "rev-parse", "HEAD")


def test_the_first_password_is_no_argument_and_may_begin_with_a_dash(init: dict[str, Any], tmp_path: Path) -> None:
    """One of 64 random ones does, and was taken for an option."""
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow/__init__.py").touch()
    (tmp_path / "airflow/__main__.py").write_text(
        "import argparse, pathlib, sys\n"
        "def main():\n"
        "    parser = argparse.ArgumentParser()\n"
        "    parser.add_argument('words', nargs=2)\n"
        "    parser.add_argument('--role')\n"
        "    parser.add_argument('--password')\n"
        "    print(parser.parse_args().password, 'secret' in pathlib.Path('/proc/self/cmdline').read_text())\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", init["_MAKE_USER"], "--role", "Admin"],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "AIRFLOW_ADMIN_PASSWORD": "-secret"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert run.stdout.split() == ["-secret", "False"], run.stderr


def url(server: PostgresServer, user: str, password: str, database: str) -> Any:
    return make_url(f"postgresql+psycopg2://{user}:{quote(password, safe='')}@127.0.0.1:{server.port}/{database}")


def commit(folder: Path, text: str) -> None:
    (folder / "params.yaml").write_text(text)
    git(folder, "add", "params.yaml")
    git(folder, "commit", "--quiet", "--message", text)


def git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True, timeout=60)
    return run.stdout.strip()
