"""docs/ledger.md as a reader would take it: its SQL and commands on a real PostgreSQL, and what the loop's role may."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from evergreen.errors import EvergreenError
from evergreen.ledger import Ledger, Window
from evergreen.ledger.tables import metadata
from evergreen.local.postgres import binary
from evergreen.locks import attempt, lock, rows
from evergreen.project import Project
from tests.conftest import ROOT
from tests.ledger.test_store import APRIL, a_decision, a_promotion, a_request
from tests.servers import PostgresServer

PAGE = (ROOT / "docs" / "ledger.md").read_text()
ADMINISTRATOR, OWNER, AFTERWARDS, LATER = (
    [statement.strip() for statement in block.split(";") if statement.strip()]
    for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
)
BACKUP = re.findall(r"```console\n(.*?)```", PAGE.partition("## Backup")[2], re.DOTALL)[0].splitlines()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL into which other roles may log in, with the roles and the database of the page."""
    server = PostgresServer(tmp_path_factory.mktemp("page"))
    server.start()
    with (server.data / "pg_hba.conf").open("a") as file:
        file.write("host all all 127.0.0.1/32 scram-sha-256\n")
    server.run("SELECT pg_reload_conf()", *ADMINISTRATOR)
    run(url(server, "owner"), *OWNER)
    yield server
    server.stop()


def url(server: PostgresServer, role: str) -> str:
    password = {"owner": "choose%20one", "loop": "choose%20another"}[role]
    return f"postgresql://evergreen_{role}:{password}@127.0.0.1:{server.port}/evergreen_ledger"


def run(where: str, *statements: str) -> None:
    with connected(where) as execute:
        for statement in statements:
            execute(statement)


@contextmanager
def connected(where: str) -> Iterator[Callable[[str], object]]:
    engine = create_engine(where.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.begin() as connection:
        yield connection.exec_driver_sql


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project whose ledger is a file, with a row of each kind."""
    project = make_project()
    ledger = Ledger.open(project.home)
    ledger.record_promotion(a_promotion(ledger))
    ledger.raise_request(a_request())
    ledger.answer_requests("small", ["request-small-1"], "gate-small-b1")
    ledger.record_window(Window(name="small", build="b1", end=APRIL, record={}))
    project.home.evidence.mkdir()
    (project.home.evidence / "ab.parquet").touch()
    return project


def test_from_the_file_to_a_role_that_may_only_add(
    project: Project, server: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", url(server, "loop"))
    with pytest.raises(EvergreenError, match=r"there is no ledger in .* yet, but decisions were made here"):
        Ledger.open(project.home)
    (project.home.evidence / "ab.parquet").rename(tmp_path / "ab.parquet")
    with pytest.raises(
        EvergreenError, match=r"permission denied.*run a command once with the URL of the role that owns"
    ):
        Ledger.open(project.home)

    evergreen = str(Path(sys.executable).parent / "evergreen")
    env = os.environ | {"EVERGREEN_LEDGER_URL": url(server, "owner")}
    subprocess.run([evergreen, "decisions", "copy"], cwd=project.root, env=env, check=True, capture_output=True)
    run(url(server, "owner"), *AFTERWARDS)

    ledger = Ledger.open(project.home)
    ledger.record_promotion(a_promotion(ledger, "b2", "b1", as_of=APRIL + timedelta(days=1)))
    ledger.raise_request(a_request("another"))
    ledger.answer_requests("small", ["another"], "gate-small-b2")
    ledger.record_window(Window(name="small", build="b2", end=APRIL, record={}))
    assert ledger.record_decision(a_decision("gate-small-b2", verdict="reject")).verdict == "promote"
    assert [one.build for one in ledger.promotions("small")] == ["b2", "b1"]
    with lock(project.home, "small/score"), attempt(project.home, "small/score") as mine:
        assert not mine
    for table in [*metadata.tables, "ledger_version"]:
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"ALTER TABLE {table} DISABLE TRIGGER ALL"):
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                run(url(server, "loop"), statement)
    for table in metadata.tables:
        with pytest.raises(DBAPIError, match=f"{table} is append-only"):
            run(url(server, "owner"), f"TRUNCATE {table} CASCADE")


def test_a_role_that_came_later_is_told_what_lets_it_lock(
    project: Project, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", url(server, "owner"))
    project.home.evidence.joinpath("ab.parquet").unlink()
    Ledger.open(project.home)
    run(url(server, "owner"), "REVOKE UPDATE, DELETE ON locks FROM evergreen_loop")
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", url(server, "loop"))
    rows._engines.clear()  # as in a process of its own
    said = "lets the role `evergreen_loop` take no locks: as the owner of"
    with pytest.raises(EvergreenError, match=said) as caught, lock(project.home, "small/score"):
        pass
    [told] = re.findall("run `(GRANT .*)` ", str(caught.value))
    assert told.replace('"', "") == LATER[0]
    run(url(server, "owner"), *LATER)
    with lock(project.home, "small/score"):
        pass


def test_a_backup_is_whole(project: Project, server: PostgresServer) -> None:
    env = os.environ | {
        "EVERGREEN_LEDGER_URL": url(server, "owner"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(Path(binary("x")).parent), os.environ["PATH"]]),
    }
    before = Ledger.open(project.home).promotions("small")
    for command in BACKUP:
        subprocess.run(command, shell=True, cwd=project.root, env=env, check=True, timeout=60)
    assert (project.root / "ledger.dump").stat().st_size > 0
    for file in project.home.root.glob("ledger.db*"):
        file.unlink()
    shutil.rmtree(project.home.evidence)
    shutil.copy(project.root / "ledger-backup.db", project.home.ledger)
    subprocess.run("tar -xzf evidence.tar.gz -C .evergreen", shell=True, cwd=project.root, check=True)
    assert Ledger.open(project.home).promotions("small") == before
    assert (project.home.evidence / "ab.parquet").exists()
