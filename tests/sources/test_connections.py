"""Airflow's connections as the library reads them; their secrets stay out of every text."""

from __future__ import annotations

import json

import pytest

from evergreen.errors import SourceError
from evergreen.sources.connections import Connection, find_connection

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
