"""Cron expressions: what Airflow can schedule by is accepted, and what it cannot is refused before it."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.params.cron import check_cron

# All of Airflow's, and those that croniter has besides.
PRESETS = (
    "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@midnight", "@annually",
)  # fmt: skip


@pytest.mark.parametrize(
    "good",
    [
        "0 * * * *", "*/15 0-6,22 1 jan-mar mon,WED", "5 4 31 12 7", "0 0 * * sun", "30 5 * * 1", "0 1-23/2 * * *",
        "0 0 L * *", "0 6 * * 1#2", "0 0 29 2 *", *PRESETS,
    ],
)  # fmt: skip
def test_good_ones(good: str) -> None:
    assert check_cron(good) == good


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "this has 0"), ("0 3 * *", "this has 4"), ("0 0 0 * * *", "this has 6"), ("@nightly", "@daily"),
        ("60 * * * *", "[60 * * * *] is not acceptable"), ("0 24 * * *", "is not acceptable"), ("0 0 0 * *", "0 0 0"),
        ("0 0 * 13 *", "13"), ("0 0 * * mo", "mo"), ("*/0 * * * *", "*/0"), ("0 0 * * 1-", "1-"), ("x * * * *", "x"),
        ("every day at 3 am", "every"), ("0 0 30 2 *", "failed to find next date"), ("0 0 31 4,6 *", "next date"),
    ],
)  # fmt: skip
def test_bad_ones_say_why(bad: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        check_cron(bad)


@given(st.text("0123456789*/-,#LW@? ", max_size=20) | st.text(max_size=20))
def test_whatever_is_written_there_is_taken_or_refused(expression: str) -> None:
    with suppress(ValueError):
        assert check_cron(expression) == expression
