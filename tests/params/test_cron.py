"""Cron expressions: what we accept Airflow's reader accepts too, and what it refuses we have refused before it."""

from __future__ import annotations

import re

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from evergreen.params.cron import PRESETS, check_cron


@pytest.mark.parametrize(
    "good",
    [
        "0 * * * *",
        "*/15 0-6,22 1 jan-mar mon,WED",
        "5 4 31 12 7",
        "0 0 * * sun",
        "30 5 * * 1",
        "0 1-23/2 * * *",
        *PRESETS,
    ],
)
def test_good_ones(good: str) -> None:
    assert check_cron(good) == good
    assert good in PRESETS or croniter.is_valid(good)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "this has 0"), ("0 3 * *", "this has 4"), ("0 0 0 * * *", "this has 6"), ("@nightly", "@daily"),
        ("60 * * * *", "the minute of this cron expression is `60`: `60` is not 0 to 59"), ("0 24 * * *", "the hour"),
        ("0 0 0 * *", "the day of the month"), ("0 0 * 13 *", "the month"), ("0 0 * * mo", "`mo` is not 0 to 7 or sun"),
        ("*/0 * * * *", "a step is 1 to 59"), ("0 0 * * 1-", "write 0 to 7"), ("x * * * *", "`x` is not"),
        ("every day at 3 am", "`every`"),
    ],
)  # fmt: skip
def test_bad_ones_name_the_field(bad: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        check_cron(bad)


FIELD = st.from_regex(r"(\*|[0-9]{1,2}(-[0-9]{1,2})?)(/[0-9]{1,2})?(,[0-9]{1,2})?", fullmatch=True)


@given(st.lists(FIELD, min_size=5, max_size=5).map(" ".join))
def test_whatever_we_accept_airflow_can_read(expression: str) -> None:
    try:
        check_cron(expression)
    except ValueError:
        return
    assert croniter.is_valid(expression)
