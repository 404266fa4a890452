"""supervisord's configuration, and a server that does not come up."""

from __future__ import annotations

import configparser
import os
import shlex
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen.errors import ServerError
from evergreen.local import airflow, mlflow
from evergreen.local.health import Waiting
from evergreen.local.ports import Ports
from evergreen.local.processes import marked
from evergreen.local.program import Program
from evergreen.local.settings import COMMON
from evergreen.local.supervisor import SOCKET_LIMIT, connect, launch, render, shut_down, socket_path
from evergreen.paths import Home
from tests.faults.harm import until


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose supervisord, if the test starts one, is ended."""
    home = Home(tmp_path / "h")
    yield home
    shut_down(home)


def rendered(home: Home, programs: list[Program]) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(render(home, programs))
    return parser


def test_every_server_is_guarded_and_stopped_whole(home: Home) -> None:
    programs = [*airflow.programs(), mlflow.program(home, Ports(9000))]
    parser = rendered(home, programs)
    for program in programs:
        section = parser[f"program:{program.name}"]
        assert "-m evergreen.local.guard " in section["command"]
        assert section["killasgroup"] == "true"
        assert section["stopasgroup"] == str(program.name != "scheduler").lower()
        assert section["autostart"] == "false"
        assert section["autorestart"] == "true"
    assert parser["unix_http_server"]["chmod"] == "0700"
    assert not parser.has_section("inet_http_server")


def test_servers_are_told_to_bind_to_loopback(home: Home) -> None:
    command = mlflow.program(home, Ports(9000)).command
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--allowed-hosts") + 1] == "127.0.0.1:9001,localhost:9001"
    assert "--skip-serve-logs" in airflow.programs()[1].command


def test_odd_paths_survive_the_configuration(tmp_path: Path) -> None:
    home = Home(tmp_path / "50% of it")
    parser = rendered(home, [Program("one", ("echo", "a b", "100%"))])
    command = shlex.split(parser["program:one"]["command"].replace("%%", "%"))
    assert command[-3:] == ["echo", "a b", "100%"]
    assert parser["supervisord"]["logfile"].replace("%%", "%") == str(home.logs / "supervisord.log")


def test_a_home_too_deep_for_a_socket_gets_one_elsewhere(tmp_path: Path) -> None:
    homes = [Home(tmp_path / name / ("deep" * 30)) for name in ("a", "b")]
    paths = [socket_path(home) for home in homes]
    assert paths == [socket_path(home) for home in homes]
    assert len(set(paths)) == 2
    assert max(len(os.fsencode(path)) for path in paths) <= SOCKET_LIMIT
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in paths} == {0o700}


def test_without_a_supervisord_there_is_none(home: Home) -> None:
    assert connect(home) is None
    home.run.mkdir(parents=True)
    socket_path(home).touch()
    assert connect(home) is None


def test_a_server_that_is_never_healthy_is_named_with_its_log(home: Home) -> None:
    code = "print('no such table: dag', flush=True); import signal; signal.pause()"
    supervisor = launch(home, [Program("mlflow", (sys.executable, "-c", code))], COMMON)
    supervisor.start("mlflow")
    log = home.logs / "mlflow.log"
    until(lambda: log.exists() and "no such table" in log.read_text(), 60, "it says nothing")
    waiting = Waiting(home, Ports(1024), supervisor, datetime.now(UTC), print, left={"mlflow"})
    with pytest.raises(ServerError, match=r"mlflow is not healthy after 2 s. .*\n    no such table: dag\n.*down"):
        waiting.run(timeout=2)
    shut_down(home)
    assert marked(str(home.root)) == []
    assert connect(home) is None


def test_a_server_that_cannot_be_run_is_named_at_once(home: Home) -> None:
    supervisor = launch(home, [Program("mlflow", ("true",))], COMMON)
    waiting = Waiting(home, Ports(1024), supervisor, datetime.now(UTC), print, left={"mlflow"})
    with pytest.raises(ServerError, match="mlflow does not start"):
        waiting.run(timeout=60)
