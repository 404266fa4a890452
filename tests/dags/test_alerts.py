"""Notices: one line of JSON in the log, posted to the webhook, and never the reason why something else fails."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.servers import free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own

URL = "EVERGREEN_ALERT_URL"
CONTEXT = {
    "dag": SimpleNamespace(dag_id="small_ingest"),
    "run_id": "manual__1",
    "ti": SimpleNamespace(task_id="table.validate"),
    "exception": ValueError('jobs-000.csv: "size" is gone'),
}
FAILED = {
    "event": "failed",
    "dag": "small_ingest",
    "run": "manual__1",
    "task": "table.validate",
    "reason": 'jobs-000.csv: "size" is gone',
}


@dataclass
class Webhook:
    """A webhook on loopback: what it was sent, and the status that it answers with."""

    url: str = ""
    status: int = 200
    got: list[tuple[str, Any]] = field(default_factory=list)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.got.append((self.headers["Content-Type"], body))
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The test's output stays clean."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(URL, hook.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield hook
        server.shutdown()
        thread.join()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What `evergreen.alerts` logs. Airflow is imported before the test begins, since it then sets up logging anew."""
    import alerts  # noqa: F401

    caplog.set_level(logging.INFO, logger="evergreen.alerts")
    return caplog


def notices(log: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Each error in the log, read as JSON."""
    return [json.loads(record.getMessage()) for record in log.records if record.levelno == logging.ERROR]


def warnings(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno == logging.WARNING]


def test_a_failure_is_one_line_of_json_and_is_posted(webhook: Webhook, log: pytest.LogCaptureFixture) -> None:
    from alerts import FailureNotifier

    FailureNotifier().notify(CONTEXT)
    assert notices(log) == [FAILED]
    assert "\n" not in log.records[0].getMessage()
    ((kind, posted),) = webhook.got
    assert kind == "application/json"
    assert list(posted) == ["text"]
    assert json.loads(posted["text"].removeprefix("Evergreen: ")) == FAILED
    assert warnings(log) == []


def test_a_failed_run_says_its_own_reason(log: pytest.LogCaptureFixture) -> None:
    from alerts import FailureNotifier

    FailureNotifier().notify({"dag": CONTEXT["dag"], "run_id": "manual__1", "reason": "timed_out"})
    FailureNotifier().notify({"dag": CONTEXT["dag"], "run_id": "manual__1"})
    assert [(one["task"], one["reason"]) for one in notices(log)] == [
        (None, "timed_out"),
        (None, "see the task's log"),
    ]


def test_a_late_run_is_posted(webhook: Webhook, log: pytest.LogCaptureFixture) -> None:
    from alerts import deadline_missed

    deadline_missed(dag_id="small_score", context={"what": "Airflow adds"})
    (notice,) = notices(log)
    assert (notice["event"], notice["dag"]) == ("late", "small_score")
    assert json.loads(webhook.got[0][1]["text"].removeprefix("Evergreen: ")) == notice


def test_who_may_approve_is_told_where(webhook: Webhook, log: pytest.LogCaptureFixture) -> None:
    from alerts import AskNotifier

    link = "http://127.0.0.1:8080/dags/small_retrain/runs/manual__1/tasks/ask/required_actions"
    asks = SimpleNamespace(
        task_id="ask", subject="small: promote b1?", generate_link_to_ui_from_context=lambda context: link
    )
    AskNotifier().notify(CONTEXT | {"task": asks})
    assert notices(log) == [], "it is no error"
    posted = json.loads(webhook.got[0][1]["text"].removeprefix("Evergreen: "))
    assert (posted["event"], posted["reason"], posted["answer_at"]) == ("approval", "small: promote b1?", link)


def test_a_webhook_that_refuses_is_logged(webhook: Webhook, log: pytest.LogCaptureFixture) -> None:
    from alerts import FailureNotifier

    webhook.status = 500
    FailureNotifier().notify(CONTEXT)
    assert notices(log) == [FAILED]
    assert "500" in warnings(log)[0]


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://", "hooks.example.org/x", "http://a b/"])
def test_a_url_that_cannot_be_reached_hides_nothing(
    url: str, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alerts import FailureNotifier

    monkeypatch.setenv(URL, url.format(port=free_port()))
    monkeypatch.setenv("no_proxy", "*")
    FailureNotifier().notify(CONTEXT)
    assert notices(log) == [FAILED]
    assert "could not be posted" in warnings(log)[0]


def test_an_answer_that_is_not_http_hides_nothing(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    from alerts import FailureNotifier

    def babble() -> None:
        peer, _ = server.accept()
        with peer:
            peer.recv(65_536)
            peer.sendall(b"what?\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=babble)
        thread.start()
        monkeypatch.setenv(URL, f"http://127.0.0.1:{server.getsockname()[1]}/")
        monkeypatch.setenv("no_proxy", "*")
        FailureNotifier().notify(CONTEXT)
        thread.join()
    assert notices(log) == [FAILED]
    assert "could not be posted" in warnings(log)[0]


@pytest.mark.parametrize("scheme", ["file", "FILE", "ftp"])
def test_nothing_but_http_is_opened(
    scheme: str, tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alerts import FailureNotifier

    (tmp_path / "secret").write_text("nobody is to read this")
    monkeypatch.setenv(URL, f"{scheme}://{tmp_path}/secret")
    FailureNotifier().notify(CONTEXT)
    assert notices(log) == [FAILED]
    assert "must be an http or https URL" in warnings(log)[0]
