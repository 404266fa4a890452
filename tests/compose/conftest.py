"""One compose stack for all drills, from the image of HEAD. `make compose-test` asks for it; other test runs, which
have no engine, do not collect what needs one.

COMPOSE_FILE names the files, as for compose itself. With COMPOSE_TEST_LAKE=gs lake and DVC remote are in a bucket of
the emulator, else on the volume. COMPOSE_TEST_KEEP leaves the stack running for a look, and goes on with one
that was left.
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
from tests.faults.drills import summarize

if "COMPOSE_TEST" not in os.environ:
    collect_ignore = ["test_drills.py", "test_loop.py", "test_restore.py"]

FOLDER = Path(__file__).parent
PROJECT = "evergreen-test"
SETTLED = weeks(5)  # up to here the lake is fed before the drills begin

BUCKET = """
STORAGE_EMULATOR_HOST=http://gcs:4443
EVERGREEN_LAKE_URL=gs://evergreen-test/lake
EVERGREEN_DVC_REMOTE=gs://evergreen-test/dvc
"""
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
    kept = "COMPOSE_TEST_KEEP" in os.environ
    env = (ROOT / ".evergreen" if kept else tmp_path_factory.mktemp("compose")) / "compose-test.env"
    named = os.environ.get("COMPOSE_FILE", "docker-compose.yaml").split(":")
    made = Server(PROJECT, env, (*named, "tests/compose/override.yaml"))
    if not (kept and env.exists() and made.containers("worker")):
        begin(made)
    made.undisturbed = made.run("retrain", made.moment(), force=True)
    yield made
    if not kept:
        made.remove()


def begin(server: Server) -> None:
    """A stack from nothing, on ports that are free."""
    server.env.parent.mkdir(exist_ok=True)
    server.env.unlink(missing_ok=True)
    subprocess.run([sys.executable, ROOT / "deploy" / "make_secrets.py", server.env], check=True)
    text = server.env.read_text().replace("AIRFLOW_PORT=8080", f"AIRFLOW_PORT={free_port()}")
    text = text.replace("MLFLOW_PORT=5000", f"MLFLOW_PORT={free_port()}")
    server.env.write_text(text + (BUCKET if os.environ.get("COMPOSE_TEST_LAKE") == "gs" else ""))
    server.remove()
    server.compose("build", timeout=3600)
    hold(server)
    server.started = server.up()
    fill(server)


def hold(server: Server) -> None:
    """Keep the volume: memory that a container mounts is gone with the last of them. This one is not the stack's."""
    server.compose("run", "--detach", "--no-deps", "--name", f"{PROJECT}-holder", "web", "sleep", "infinity")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fill(server: Server) -> None:
    """Feed and ingest, and train the first champion."""
    with server.api() as api:
        for stage in ("ingest", "retrain", "score"):
            api.wait_for_dag(f"flights_{stage}", timeout=180)
            api.unpause(f"flights_{stage}")
    move(server, 5)
    server.run("ingest", SETTLED)
    server.run("retrain", weeks(0))


def move(server: Server, week: int) -> None:
    """Bring the sources, and the clock, to a week."""
    server.python(MOVE.format(moment=weeks(week).isoformat()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the table of the drills."""
    summarize(terminalreporter, FOLDER.relative_to(config.rootpath).as_posix(), "drills on the compose stack")
