from __future__ import annotations

from datetime import timedelta

import pytest

from evergreen.backtest.policies import policies
from evergreen.errors import ParamsError
from evergreen.params import load_params_text
from evergreen.params.backtest import Backtest
from tests.conftest import SMALL
from tests.data import day


def test_never_comes_first_and_each_other_one_gated_and_not() -> None:
    titles = [one.title for one in policies(Backtest(policies=("monthly", "never", "monthly", "sliding_2")))]
    assert titles == [
        "never", "monthly, ungated", "monthly, gated", "sliding_2, ungated", "sliding_2, gated",
    ]  # fmt: skip
    assert [one.title for one in policies(Backtest(policies=("triggers",), gated="only"))] == [
        "never",
        "triggers, gated",
    ]


def test_each_has_its_training_window() -> None:
    params = load_params_text(SMALL.replace("min_labels: 50", "min_labels: 50, window: 30 days"))
    found = {one.name: one.params(params, day(91)).training.window for one in policies(
        Backtest(policies=("monthly", "weekly", "sliding_3", "triggers"))
    )}  # fmt: skip
    month = timedelta(days=30)
    assert found == {
        "never": month, "monthly": None, "weekly": None, "sliding_3": timedelta(days=91), "triggers": month,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["montly", "sliding", "sliding_0", "sliding_x"])
def test_an_unknown_policy_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ParamsError) as caught:
        load_params_text(f"{SMALL}\nbacktest: {{policies: [{name}]}}\n")
    for part in ("backtest.policies", f"`{name}` is not a policy", "never, monthly, weekly, triggers", "sliding_<n>"):
        assert part in str(caught.value)
    assert ("did you mean `monthly`?" in str(caught.value)) == (name == "montly")
