"""`evergreen decisions` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from evergreen.errors import EvergreenError
from evergreen.ledger import Ledger
from evergreen.ledger.commands import decisions
from evergreen.project import Project
from tests.ledger.test_store import a_decision


@pytest.fixture
def show(make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Show a decision of a ledger that has three, one of another use case."""
    project = make_project()
    ledger = Ledger.open(project.home)
    for build, name in (("20130401T0400-aa", "small"), ("20130429T0400-aa", "small"), ("20130501T0400-aa", "other")):
        id_ = f"gate-{name}-{build}-against-none"
        ledger.record_decision(a_decision(id_, name=name, build=build))
    monkeypatch.chdir(project.root)

    def run(part: str) -> str:
        done = CliRunner().invoke(decisions, ["show", "--json", part])
        if done.exception is not None:
            raise done.exception
        return str(json.loads(done.stdout)["id"])

    return run


def test_a_decision_is_shown_as_a_person_reads_it(show: Callable[[str], str]) -> None:
    done = CliRunner().invoke(decisions, ["show", "20130429"])
    assert done.stdout.startswith("# promote: gate of 20130429T0400-aa\n\n> better\n\n## Rules\n")


def test_the_list_has_kind_verdict_and_reason(show: Callable[[str], str]) -> None:
    done = CliRunner().invoke(decisions, ["list"])
    assert done.stdout.splitlines()[:2] == [
        "2013-04-01T04:00:00Z  gate      promote       gate-small-20130429T0400-aa-against-none",
        "    better",
    ]


@pytest.mark.parametrize("part", ["20130429", "gate-small-20130429T0400-aa-against-none"])
def test_a_part_that_only_it_has_names_a_decision(show: Callable[[str], str], part: str) -> None:
    assert show(part) == "gate-small-20130429T0400-aa-against-none"


@pytest.mark.parametrize(("part", "said"), [("aa-against", "part of 2 decisions"), ("20130501", "no decision")])
def test_a_part_of_several_or_none_is_an_error(show: Callable[[str], str], part: str, said: str) -> None:
    with pytest.raises(EvergreenError, match=said):
        show(part)
