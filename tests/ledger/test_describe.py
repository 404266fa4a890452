"""`describe`: what a person asks of a decision is said, whatever kind and version it is of."""

from __future__ import annotations

from typing import Any

from evergreen.ledger.describe import describe
from tests.ledger.test_store import a_decision

SHA = "0123456789ab" * 5 + "cdef"


def a_rule(rule: str, passed: bool | None, text: str = "", **numbers: Any) -> dict[str, Any]:
    return {"rule": rule, "passed": passed, "text": text, "numbers": numbers}


def lines(**inputs: Any) -> list[str]:
    return describe(a_decision(inputs=inputs)).splitlines()


def test_verdict_and_reason_come_first() -> None:
    said = describe(a_decision(verdict="reject", reason="worse for AA\nand for B6")).splitlines()
    assert said[:4] == ["# reject: gate of b1", "", "> worse for AA", "> and for B6"]
    assert "- decided by: test" in said
    assert "- as of: 2013-04-01T04:00:00Z" in said


def test_rules_are_a_table_of_outcomes_and_numbers() -> None:
    rules = [
        a_rule("enough.rows", True, threshold=500, value=812),
        a_rule("floor.roc_auc", False, threshold=0.7, value=0.69514),
        a_rule("distinct", None, candidate=SHA, champion=SHA),
        a_rule("every", True, "the last promotion is long enough ago"),
    ]
    assert lines(rules=rules)[4:12] == [
        "## Rules",
        "",
        "| rule          | outcome          | numbers                                       |",
        "|---------------|------------------|-----------------------------------------------|",
        "| enough.rows   | passed           | value 812, threshold 500                      |",
        "| floor.roc_auc | failed           | value 0.6951, threshold 0.7                   |",
        "| distinct      | cannot be judged | candidate 0123456789ab, champion 0123456789ab |",
        "| every         | passed           | the last promotion is long enough ago         |",
    ]


def test_a_rule_of_many_rows_has_a_table_of_its_own() -> None:
    by_place = {"AA": {"rows": 12, "passed": None}, "B6": {"rows": 900, "p_value": 0.031, "passed": True}}
    table = [
        "|     | rows | passed           | p value |",
        "|-----|------|------------------|---------|",
        "| AA  | 12   | cannot be judged | none    |",
        "| B6  | 900  | passed           | 0.031   |",
    ]
    rows = [{"": name, **row} for name, row in by_place.items()]
    for many in (by_place, rows):
        said = lines(
            rules=[a_rule("segments", True, margin=0.02, carrier=many, rare={"carrier": 3, "dest": 1}, small=["X"])]
        )
        assert "| segments | passed  | margin 0.02, rare (carrier 3, dest 1), small (X) |" in said
        assert said[said.index("### segments: carrier") + 2 :][:4] == table


def test_the_candidate_stands_beside_the_champion() -> None:
    metrics = {"candidate": {"roc_auc": 0.71239, "f1": None}, "champion": {"roc_auc": 0.7}}
    said = lines(
        metrics=metrics,
        candidate={"build": "b1", "bundle": SHA},
        champion={"build": "b0", "bundle": SHA, "version": 3},
        facts={"champion_model": "twin"},
        window={"rows": 812, "start": "2013-03-04T05:00:00Z", "end": "2013-04-01T04:00:00Z", "keys_sha256": SHA},
    )
    assert "| roc_auc | 0.7124    | 0.7      |" in said
    assert "| f1      | none      | none     |" in said
    assert "- champion: build b0, bundle 0123456789ab, version 3" in said
    assert "- compared with: the champion's twin" in said
    assert "- labels known: after 2013-03-04T05:00:00Z and by 2013-04-01T04:00:00Z" in said
    assert "- evidence: SHA-256 ab" in said


def test_what_only_other_kinds_record_is_shown_too() -> None:
    approval = a_decision(
        id="approval-gate-small-b1", kind="gate", reason="Not before | the holidays",
        inputs={"decision": "gate-small-b1", "chosen": ["Reject"], "answered_at": "2013-04-02T04:00:00Z", "who": {}},
        evidence=None,
    )  # fmt: skip
    said = describe(approval)
    assert "> Not before | the holidays" in said
    wanted = ["- decision: gate-small-b1", "- chosen: Reject", "- answered at: 2013-04-02T04:00:00Z", "- who: none"]
    assert "\n".join(wanted) in said
    assert "## Rules" not in said


def test_a_rollback_names_whom_it_goes_back_to_and_whom_it_takes_off() -> None:
    sides = {"candidate": {"build": "b0", "version": 1}, "champion": {"build": "b1", "version": 3}}
    said = describe(a_decision(kind="rollback", build="b0", reason="worse by night", inputs=sides)).splitlines()
    assert said[0] == "# rollback to b0"
    assert "- champion again: build b0, version 1" in said
    assert "- taken off: build b1, version 3" in said


def test_what_it_cannot_know_breaks_no_table() -> None:
    said = lines(rules=[a_rule("segments", True, "one | two\nthree")])
    assert "| segments | passed  | one \\| two three |" in said
    assert describe(a_decision(reason="", build=None)).startswith(
        "# promote: gate of no build\n\n> no reason was given"
    )


def test_a_name_from_data_is_no_link() -> None:
    numbers = {"segments": {"team=[approve here](http://elsewhere)": {"rows": 12}}}
    assert "](" not in describe(
        a_decision(reason="worse in [a](b)", inputs={"rules": [a_rule("segments", True, **numbers)]})
    )
