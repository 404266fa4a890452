"""SQL expressions of params.yaml."""

from __future__ import annotations

import duckdb
import pytest

from evergreen.errors import ParamsError
from evergreen.sql import expand


def test_local_is_the_moment_in_the_time_zone_across_daylight_saving() -> None:
    sql = expand("local(moment)", "America/New_York", ["moment"])
    values = "(values (timestamp '2013-11-03 05:30'), (timestamp '2013-11-03 06:30')) as t(moment)"
    rows = duckdb.sql(f"select cast({sql} as varchar) from {values}").fetchall()
    assert rows == [("2013-11-03 01:30:00",), ("2013-11-03 01:30:00",)]  # one hour, twice


def test_local_may_be_nested_in_other_calls() -> None:
    sql = expand("hour(local(moment + interval 1 hour)) * 60", "Europe/Berlin", ["moment"])
    assert duckdb.sql(f"select {sql} from (select timestamp '2024-01-01 10:00' as moment)").fetchall() == [(720,)]


def test_names_with_spaces_and_symbols() -> None:
    assert duckdb.sql(f"select {expand(chr(34) + 'größe $' + chr(34) + ' > 2', 'UTC', ['größe $'])} from "
                      '(select 3 as "größe $")').fetchall() == [(True,)]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("a +", "is not a SQL expression"),
        ("amuont > 2", "did you mean `amount`"),
        ("other > 2", "Known: amount"),
        ("select 1", "without a query"),
        ("amount in (select 1)", "without a query"),
        ("drop table x", "without a query"),
        ("lag(amount) over (order by amount)", "not of the row alone"),
        ("sum(amount)", "not of the row alone"),
        ("amount > epoch(now())", "not of the row alone"),
        ("localtimestamp", "not of the row alone"),
        ("random() < amount", "not of the row alone"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(expression: str, message: str) -> None:
    with pytest.raises(ParamsError, match=r"tables\.jobs\.known_at") as raised:
        expand(expression, "UTC", ["amount"], "tables.jobs.known_at")
    assert message in str(raised.value)
