"""Where the ledger is, and what is said when it cannot be reached: never its password."""

from __future__ import annotations

import pytest

from evergreen.errors import EvergreenError
from evergreen.ledger import Ledger
from evergreen.ledger.url import connect_args, ledger_url, shown
from evergreen.paths import Home
from tests.ledger.stores import Store
from tests.ledger.test_store import a_decision, a_promotion
from tests.servers import PostgresServer, free_port


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_is_reached_by_the_driver_that_is_locked(
    home: Home, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", f"{scheme}://me:s3cret@db:6432/ledger?sslmode=require&password=s3cret")
    url = ledger_url(home)
    assert (url.drivername, url.host, url.port) == ("postgresql+psycopg", "db", 6432)
    assert shown(url) == "postgresql+psycopg://me:***@db:6432/ledger"
    assert connect_args(url)["options"] == "-c lock_timeout=30000"


def test_what_the_url_says_itself_is_kept(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", "postgresql://me@db/ledger?connect_timeout=3&options=-c%20x%3D1")
    assert set(connect_args(ledger_url(home))) == {"tcp_user_timeout"}


@pytest.mark.parametrize("url", ["not a url", "postgresql://me:s3cret@db:s3cret/ledger"])
def test_what_is_no_url_is_not_repeated(home: Home, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", url)
    with pytest.raises(EvergreenError, match="EVERGREEN_LEDGER_URL is not a database URL") as caught:
        Ledger.open(home)
    assert url not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_database_without_a_driver_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", "oracle://me:s3cret@db/ledger")
    with pytest.raises(EvergreenError, match=r"ledger oracle://me:\*\*\*@db/ledger needs a driver"):
        Ledger.open(home)


def test_an_unreachable_ledger_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", f"sqlite:///{home.root}/nowhere/ledger.db")
    with pytest.raises(EvergreenError, match=r"nowhere/ledger\.db cannot be used"):
        Ledger.open(home)
    monkeypatch.setenv("EVERGREEN_LEDGER_PATIENCE", "0.1")
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", f"postgresql://me:s3cret@127.0.0.1:{free_port()}/ledger")
    with pytest.raises(EvergreenError, match=r"//me:\*\*\*@127\.0\.0\.1.* cannot be used") as caught:
        Ledger.open(home)
    assert "s3cret" not in str(caught.value)


def test_a_wrong_password_is_not_repeated(
    home: Home, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", postgres_server.uri.replace(postgres_server.password, "wr0ng-marker"))
    with pytest.raises(EvergreenError, match="password authentication failed") as caught:
        Ledger.open(home)
    assert "wr0ng-marker" not in f"{caught.value} {caught.value.__cause__}"


def test_a_password_with_an_at_sign_is_not_shown_as_the_host(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", f"postgresql://me:pa@s3cret@127.0.0.1:{free_port()}/ledger")
    with pytest.raises(EvergreenError, match="more than one `@`: write that of a password as %40") as caught:
        Ledger.open(home)
    assert "s3cret" not in str(caught.value)


def test_a_ledger_that_another_holds_is_an_error_after_its_deadline(
    home: Home, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = a_promotion(ledger)
    monkeypatch.setenv("EVERGREEN_LEDGER_PATIENCE", "0.1")
    impatient = Ledger.open(home)
    said = {"sqlite": "database is locked", "postgresql": "canceling statement due to lock timeout"}[store.kind]
    with store.held():
        with pytest.raises(EvergreenError, match=f"(?s){said}.*; nothing was recorded, run this again"):
            impatient.record_decision(a_decision("another"))
        with pytest.raises(EvergreenError, match=said):
            impatient.record_promotion(wanted)
        assert len(impatient.decisions("small")) == 1  # readers are not held up
    assert impatient.record_promotion(wanted) == wanted


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_a_patience_is_a_number_of_seconds(home: Home, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("EVERGREEN_LEDGER_PATIENCE", text)
    with pytest.raises(EvergreenError, match=f"EVERGREEN_LEDGER_PATIENCE is `{text}`"):
        Ledger.open(home)
