"""One compose stack for all drills, from the image of HEAD. `make compose-test` asks for it; other test runs, which
have no engine, do not collect what needs one.

COMPOSE_FILE names the files, as for compose itself; COMPOSE_TEST_KEEP leaves
the stack running for a look.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.server import ROOT, Server, weeks
from tests.faults.drills import drill, table

if "COMPOSE_TEST" not in os.environ:
    collect_ignore = ["test_drills.py", "test_loop.py", "test_restore.py"]

FOLDER = Path(__file__).parent
PROJECT = "evergreen-test"
SETTLED = weeks(5)  # up to here the lake is fed before the drills begin

# The world is moved on, and the clock with it: whatever runs by itself stands where the drills are.
MOVE = """
import datetime, os, pathlib
os.chdir('/evergreen/project')
from evergreen import clock
from evergreen.project import Project
from world import move_on
project, moment = Project.load(), clock.parse_time('{moment}')
clock.set_replay(project.home, moment)
move_on(project, moment)
print(json.dumps(clock.format_time(moment)))
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A stack that is up, its DAGs unpaused, its lake filled up to SETTLED, with a first champion."""
    env = tmp_path_factory.mktemp("compose") / ".env"
    subprocess.run([sys.executable, ROOT / "deploy" / "make_secrets.py", env], check=True)
    airflow, mlflow = free_port(), free_port()
    env.write_text(
        env.read_text().replace("AIRFLOW_PORT=8080", f"AIRFLOW_PORT={airflow}").replace("=5000", f"={mlflow}")
    )
    named = os.environ.get("COMPOSE_FILE", "docker-compose.yaml").split(":")
    made = Server(PROJECT, env, (*named, "tests/compose/override.yaml"))
    made.remove()
    made.compose("build", timeout=3600)
    hold(made)
    try:
        made.told.append(f"cold start to healthy: {made.up():.0f} s")
        fill(made)
        yield made
    finally:
        if "COMPOSE_TEST_KEEP" not in os.environ:
            made.remove()


def hold(server: Server) -> None:
    """Keep the volume: memory that a container mounts is gone with the last of them. This one is not the stack's."""
    server.compose("run", "--detach", "--no-deps", "--name", f"{PROJECT}-holder", "web", "sleep", "infinity")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fill(server: Server) -> None:
    """Feed and ingest, train the first champion, and measure a retrain that nothing disturbs."""
    with server.api() as api:
        for stage in ("ingest", "retrain", "score"):
            api.wait_for_dag(f"flights_{stage}", timeout=180)
            api.unpause(f"flights_{stage}")
    move(server, 5)
    server.run("ingest", SETTLED)
    server.run("retrain", weeks(0))
    server.undisturbed = server.run("retrain", weeks(1), force=True)


def move(server: Server, week: int) -> None:
    """Bring the sources, and the clock, to a week."""
    server.python(MOVE.format(moment=weeks(week).isoformat()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the table of the drills."""
    here = FOLDER.relative_to(config.rootpath).as_posix()
    found = [
        row
        for result in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(result, [])
        if report.nodeid.startswith(f"{here}/") and (row := drill(report, result))
    ]
    if found:
        terminalreporter.section("drills on the compose stack")
        for line in table(found):
            terminalreporter.write_line(line)
