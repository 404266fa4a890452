from __future__ import annotations

import pytest

from evergreen.errors import ParamsError
from evergreen.params.tables import Table
from evergreen.quality.contract import chained_hash, contract_hash, rules_of


def table(known_at: str = "due", **columns: dict) -> Table:
    return Table.model_validate(
        {
            "source": {"kind": "csv"},
            "key": ["id"],
            "known_at": known_at,
            "columns": {"id": {"type": "int64"}, "due": {"type": "timestamp"}, **columns},
        }
    )


def labels(made: Table) -> list[str]:
    return [rule.label for rule in rules_of("jobs", made, "UTC")]


def test_rules_follow_the_columns_and_add_those_that_go_without_saying() -> None:
    made = table(
        size={"type": "float64", "between": [0, 1000], "nulls": "never"},
        team={"type": "category", "in": ["red", "blue"], "matches": "[a-z]+$", "unique": True},
    )
    assert labels(made) == [
        "id: never null (key)",
        "size: never null",
        "size: between 0 and 1000",
        "team: one of red, blue",
        "team: matching [a-z]+$",
        "team: unique",
        "known_at: `due` has a value",
        "key: no other row of the same id in the file",
    ]


@pytest.mark.parametrize(
    ("between", "label"), [([None, 5], "size: at most 5"), ([0.5, None], "size: at least 0.5"), ([None, None], None)]
)
def test_a_range_may_be_open(between: list, label: str | None) -> None:
    found = [label for label in labels(table(size={"type": "float64", "between": between})) if "size" in label]
    assert found == ([label] if label else [])


def test_a_key_quarantines_even_where_its_column_only_warns() -> None:
    made = Table.model_validate(
        {
            "source": {"kind": "csv"}, "key": ["id"], "known_at": "due",
            "columns": {"id": {"type": "int64", "severity": "warning"}, "due": {"type": "timestamp"}},
        }
    )  # fmt: skip
    assert {rule.kind: rule.severity for rule in rules_of("jobs", made, "UTC")} == {
        "nulls": "error",
        "known_at": "error",
        "key": "warning",
    }


def test_a_source_that_sends_versions_may_repeat_a_key() -> None:
    made = table()
    assert "key" not in {rule.kind for rule in rules_of("jobs", made.model_copy(update={"changed_at": "due"}), "UTC")}


@pytest.mark.parametrize(
    ("type_", "given", "typed"),
    [
        ("int64", [1, "2"], (1, 2)),
        ("float64", [1, "2.5"], (1.0, 2.5)),
        ("category", ["a", 1], ("a", "1")),
        ("bool", ["true"], ("true",)),
        ("date", ["2013-01-02"], ("2013-01-02",)),
        ("timestamp", ["2013-01-02"], ("2013-01-02 00:00:00.000000",)),
    ],
)
def test_allowed_values_take_the_type_of_the_column(type_: str, given: list, typed: tuple) -> None:
    rule = rules_of("jobs", table(x={"type": type_, "in": given}), "UTC")[1]
    assert rule.kind == "in"
    assert rule.options == typed


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"type": "int64", "in": ["red"]}, r"tables\.jobs\.columns\.x\.in: `red` is not a value of the type int64"),
        ({"type": "string", "matches": "(a"}, r"tables\.jobs\.columns\.x\.matches: `\(a` is not a regular expression"),
    ],
)
def test_a_rule_that_cannot_be_is_an_error_of_params(column: dict, said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        rules_of("jobs", table(x=column), "UTC")


def test_names_of_our_own_columns_are_refused() -> None:
    with pytest.raises(ParamsError, match="`_row` is reserved"):
        rules_of("jobs", table(_row={"type": "int64"}), "UTC")


def test_known_at_must_name_declared_columns() -> None:
    with pytest.raises(ParamsError, match=r"tables\.jobs\.known_at.*did you mean `due`"):
        rules_of("jobs", table(known_at="duee"), "UTC")


def test_the_hash_is_of_what_changes_a_verdict_and_of_nothing_else() -> None:
    plain = table(size={"type": "float64"})
    again = plain.model_copy(update={"description": "other words", "freshness": None})
    assert contract_hash(plain, "UTC") == contract_hash(again, "America/New_York")
    others = [
        table(size={"type": "float64", "between": [0, 1]}),
        table(size={"type": "float64"}, known_at="due + interval 1 day"),
        plain.model_copy(update={"quarantine": plain.quarantine.model_copy(update={"max_share": 0.5})}),
        plain.model_copy(update={"key": ("id", "due")}),
        plain.model_copy(update={"columns": dict(reversed(plain.columns.items()))}),
    ]
    assert len({contract_hash(one, "UTC") for one in [plain, *others]}) == len(others) + 1


def test_local_time_makes_the_zone_part_of_the_contract() -> None:
    local = table(known_at="local(due)")
    assert contract_hash(local, "UTC") != contract_hash(local, "America/New_York")


def test_only_unique_columns_make_a_file_depend_on_those_before_it() -> None:
    plain, unique = table(x={"type": "string"}), table(x={"type": "string", "unique": True})
    assert chained_hash("c", plain, ("raw/a", "1")) == "c"
    assert chained_hash("c", unique, ("raw/a", "1")) != chained_hash("c", unique, ("raw/a", "2"))


def test_a_derived_column_is_part_of_the_contract_where_known_at_uses_it() -> None:
    plain = table(known_at="day_after")
    derived = [
        plain.model_copy(update={"derived": {"day_after": f"due + interval {n} day", "x": str(n)}}) for n in (1, 2)
    ]
    unused = [table().model_copy(update={"derived": one.derived}) for one in derived]
    assert contract_hash(derived[0], "UTC") != contract_hash(derived[1], "UTC")
    assert contract_hash(unused[0], "UTC") == contract_hash(unused[1], "UTC")
