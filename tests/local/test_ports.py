"""One setting for all ports; a busy one is an error that a user can act on."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from evergreen.errors import ServerError
from evergreen.local.ports import HOST, OFFSETS, Ports, current_ports, require_free, wanted_ports
from evergreen.paths import Home


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield server


def test_servers_have_ports_of_their_own() -> None:
    assert len(set(OFFSETS.values())) == len(OFFSETS)
    assert Ports(9000).airflow_url == "http://127.0.0.1:9000"
    assert Ports(9000).mlflow_url == "http://127.0.0.1:9001"


def test_the_setting_is_read() -> None:
    assert wanted_ports({}) is None
    assert wanted_ports({"EVERGREEN_PORT": " "}) is None
    assert wanted_ports({"EVERGREEN_PORT": "9000"}) == Ports(9000)


@pytest.mark.parametrize("text", ["80", "65535", "http", "-1", "8080.5"])
def test_a_bad_setting_is_named(text: str) -> None:
    with pytest.raises(ServerError, match="EVERGREEN_PORT is"):
        wanted_ports({"EVERGREEN_PORT": text})


def test_a_running_stack_is_found_without_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    assert current_ports(home) == Ports(8080)
    monkeypatch.setenv("EVERGREEN_PORT", "9000")
    assert current_ports(home) == Ports(9000)
    home.run.mkdir()
    (home.run / "stack.json").write_text(json.dumps({"port": 9500}))
    assert current_ports(home) == Ports(9500)


def test_a_busy_port_names_port_server_holder_and_setting(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(ServerError) as caught:
        require_free(Ports(port - OFFSETS["mlflow"]))
    text = str(caught.value)
    assert f"{port} (mlflow, held by " in text
    assert f"pid {os.getpid()}" in text
    assert "EVERGREEN_PORT=" in text
    assert "make demo PORT=" in text


def test_a_listener_on_all_interfaces_is_seen() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        with pytest.raises(ServerError, match="is in use"):
            require_free(Ports(server.getsockname()[1]))
