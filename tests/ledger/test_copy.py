"""`evergreen decisions copy`: from the file in the home to PostgreSQL, with everything or with nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from evergreen.errors import EvergreenError
from evergreen.ledger import Ledger, Window
from evergreen.ledger.commands import decisions
from evergreen.ledger.copy import copy_ledger
from evergreen.paths import Home
from evergreen.project import Project
from tests.ledger.stores import in_postgres
from tests.ledger.test_store import APRIL, a_decision, a_promotion, a_request
from tests.servers import PostgresServer


@pytest.fixture
def project(make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose ledger has a row of each kind, and some evidence."""
    project = make_project()
    ledger = Ledger.open(project.home)
    ledger.record_promotion(a_promotion(ledger))
    ledger.raise_request(a_request())
    ledger.answer_requests("small", ["request-small-1"], "gate-small-b1")
    ledger.record_window(Window(name="small", build="b1", end=APRIL, record={"rows": 1}))
    ledger.record_decision(a_decision("other", name="other"))
    project.home.evidence.mkdir(parents=True)
    (project.home.evidence / f"{'ab' * 32}.parquet").touch()
    monkeypatch.chdir(project.root)
    return project


def content(home: Home) -> list[object]:
    ledger = Ledger.open(home)
    return [
        [ledger.decisions(name) for name in ("small", "other")], ledger.promotions("small"), ledger.requests("small"),
        ledger.windows("small", "b1"),
    ]  # fmt: skip


def test_everything_is_copied_and_goes_on(
    project: Project, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(project.home)
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", in_postgres(postgres_server).url)
    with pytest.raises(EvergreenError, match=r"(?s)no ledger in .* yet, but decisions were made here.*decisions copy"):
        Ledger.open(project.home)  # a ledger without a champion is not begun by the way
    done = CliRunner().invoke(decisions, ["copy"])
    assert done.exit_code == 0, done.exception
    assert done.stdout.split() == ["decisions", "2", "requests", "1", "windows", "1", "answers", "1", "promotions", "1"]
    assert content(project.home) == before
    ledger = Ledger.open(project.home)
    ledger.record_promotion(a_promotion(ledger, "b2", "b1"))
    assert [one.build for one in ledger.promotions("small")] == ["b2", "b1"]
    with pytest.raises(EvergreenError, match=r"has rows in `\w+` already: nothing was copied"):
        copy_ledger(project.home)


def test_there_must_be_a_file_and_another_database(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_project().home
    with pytest.raises(EvergreenError, match="does not name another database"):
        copy_ledger(home)
    monkeypatch.setenv("EVERGREEN_LEDGER_URL", f"sqlite:///{home.root}/other.db")
    with pytest.raises(EvergreenError, match=r"no .*ledger\.db to copy"):
        copy_ledger(home)
