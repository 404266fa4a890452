"""Airflow's connections as the library reads them; their secrets stay out of every text."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from evergreen.errors import SourceError
from evergreen.paths import Home
from evergreen.sources.connections import Connection, find_connection, keep_connections, wanted

WANTED = Connection(
    conn_type="postgres", host="db.example.org", port=5433, login="me", password="s3/cr@t", schema_="sales",
    extra={"sslmode": "require"},
)  # fmt: skip
AS_JSON = json.dumps(
    {"conn_type": "postgres", "host": "db.example.org", "port": 5433, "login": "me", "password": "s3/cr@t",
     "schema": "sales", "extra": {"sslmode": "require"}}
)  # fmt: skip
AS_URI = "postgres://me:s3%2Fcr%40t@db.example.org:5433/sales?sslmode=require"


@pytest.mark.parametrize("text", [AS_JSON, AS_URI, AS_URI.replace("postgres:", "postgresql:")])
def test_json_and_uri_are_the_same_connection(text: str) -> None:
    assert find_connection("warehouse", ("postgres",), {"AIRFLOW_CONN_WAREHOUSE": text}) == WANTED


def test_airflows_own_writing_is_read() -> None:
    extra = json.dumps({"sasl.mechanism": "PLAIN"})
    text = json.dumps({"conn_type": "kafka", "extra": extra})
    found = find_connection("broker", ("kafka",), {"AIRFLOW_CONN_BROKER": text})
    assert found.extra == {"sasl.mechanism": "PLAIN"}
    uri = find_connection("broker", ("kafka",), {"AIRFLOW_CONN_BROKER": "kafka://?__extra__=%7B%22a.b%22%3A+1%7D"})
    assert (uri.host, uri.extra) == (None, {"a.b": 1})


@pytest.mark.parametrize("text", ["s3cret", "{s3cret", "postgres://me:s3cret@host:port/x", '{"host": "s3cret"}'])
def test_what_cannot_be_read_is_named_and_never_shown(text: str) -> None:
    with pytest.raises(SourceError, match="AIRFLOW_CONN_WAREHOUSE") as caught:
        find_connection("warehouse", ("postgres",), {"AIRFLOW_CONN_WAREHOUSE": text})
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_one_and_one_of_another_type_say_what_to_do() -> None:
    with pytest.raises(SourceError, match="set AIRFLOW_CONN_WAREHOUSE"):
        find_connection("warehouse", ("postgres",), {})
    with pytest.raises(SourceError, match="is of the type `kafka`, and this source needs postgres"):
        find_connection("warehouse", ("postgres",), {"AIRFLOW_CONN_WAREHOUSE": "kafka://host"})


def test_a_connection_shows_no_password() -> None:
    assert "s3/cr@t" not in repr(WANTED) + str(WANTED) + WANTED.model_dump_json()
    assert WANTED.secret() == "s3/cr@t"


def test_what_up_wrote_into_the_home_is_found_unless_the_environment_says_otherwise(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    keep_connections(home, {})
    assert json.loads(home.connections.read_text()) == {}
    home.connections.write_text(json.dumps({"mine": json.loads(AS_JSON), "evergreen_postgres": "postgres://old"}))
    keep_connections(home, {"evergreen_postgres": AS_URI})
    assert stat.S_IMODE(home.connections.stat().st_mode) == 0o600
    for name in ("mine", "evergreen_postgres"):
        assert find_connection(name, ("postgres",), {}, home) == WANTED
    told = {"AIRFLOW_CONN_MINE": "postgres://elsewhere"}
    assert find_connection("mine", ("postgres",), told, home).host == "elsewhere"
    with pytest.raises(SourceError, match="the connection `other` is not known here"):
        find_connection("other", ("postgres",), {}, home)


def test_a_file_that_cannot_be_read_is_named_and_never_shown(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for text, reason in (("{s3cret", "is not a JSON object"), ('{"mine": "s3cret"}', "`mine` in .* is neither")):
        home.connections.write_text(text)
        with pytest.raises(SourceError, match=f"{reason}.*not shown here") as caught:
            find_connection("mine", ("postgres",), {}, home)
        assert "s3cret" not in str(caught.value)
        assert str(home.connections) in str(caught.value)


OF_THE_STACK = {
    "postgres": "postgres://me:s3cret@127.0.0.1:{port}/evergreen",
    "kafka": "kafka://?__extra__=%7B%22bootstrap.servers%22%3A+%22127.0.0.1%3A{port}%22%7D",
    "google_cloud_platform": "google-cloud-platform://?__extra__=%7B%22endpoint%22%3A+%22http%3A//127.0.0.1%3A{port}%22%7D",
    "http": "http://127.0.0.1:{port}",
}


@pytest.mark.parametrize("kind", OF_THE_STACK)
def test_a_server_of_the_stack_that_is_down_is_said_at_once(tmp_path: Path, kind: str) -> None:
    """What `up` wrote outlives `down`. An environment that names the same server is believed: Airflow retries."""
    home = Home(tmp_path)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        uri = OF_THE_STACK[kind].format(port=port)
        keep_connections(home, {"evergreen_it": uri, "mine": uri})
        assert find_connection("evergreen_it", (kind,), {}, home).conn_type == kind
    with pytest.raises(
        SourceError, match=f"`evergreen_it` is down .*127.0.0.1:{port}.*`evergreen up` starts it"
    ) as caught:
        find_connection("evergreen_it", (kind,), {}, home)
    assert "s3cret" not in str(caught.value)
    assert find_connection("mine", (kind,), {}, home).conn_type == kind
    assert find_connection("evergreen_it", (kind,), {"AIRFLOW_CONN_EVERGREEN_IT": uri}, home).conn_type == kind


def test_a_source_says_which_connections_it_needs() -> None:
    assert wanted({"kind": "postgres", "connection": "warehouse"}) == ("warehouse",)
    assert wanted({"kind": "csv", "path": "x"}) == wanted({"kind": "gcs", "connection": None}) == ()
