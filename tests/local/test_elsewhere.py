"""A stack that somebody else started: named by variables, asked for its health, and never started or stopped."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from evergreen.local import elsewhere

HEALTH = {
    "scheduler": {"status": "healthy"},
    "dag_processor": {"status": "unhealthy"},
    "triggerer": {"status": None},
}


class _Airflow(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(HEALTH).encode() if self.path == "/api/v2/monitor/health" else b"OK"
        self.send_response(200 if self.path in ("/api/v2/monitor/health", "/health") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Airflow)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("EVERGREEN_AIRFLOW_URL", found)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found)
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def test_without_the_variable_the_stack_is_this_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVERGREEN_AIRFLOW_URL", raising=False)
    assert elsewhere.named() is None
    monkeypatch.setenv("EVERGREEN_AIRFLOW_URL", "")
    assert elsewhere.named() is None


def test_people_are_shown_the_addresses_that_their_browsers_know(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org")
    monkeypatch.setenv("EVERGREEN_MLFLOW_URL", "https://mlflow.example.org")
    found = elsewhere.named()
    assert found is not None
    assert (found.airflow_url, found.mlflow_url) == ("https://airflow.example.org", "https://mlflow.example.org")
    assert not found.local


def test_each_server_is_what_it_says_of_itself(url: str) -> None:
    found = {server.name: (server.state, server.healthy) for server in elsewhere.status(url)}
    assert found == {
        "api-server": ("running", True), "scheduler": ("running", True), "dag-processor": ("away", False),
        "triggerer": ("away", False), "mlflow": ("running", True),
    }  # fmt: skip


def test_servers_that_do_not_answer_are_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    found = elsewhere.status("http://127.0.0.1:1")
    assert {server.state for server in found} == {"away"}
    assert {server.name for server in found} >= {"api-server", "scheduler", "mlflow"}
