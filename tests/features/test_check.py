"""params.yaml checked without data."""

from __future__ import annotations

import pytest

from evergreen.errors import ParamsError
from evergreen.features.check import check_expressions
from evergreen.params import load_params, load_params_text
from tests.conftest import ROOT, SMALL


def test_the_shipped_and_the_small_params_are_valid() -> None:
    check_expressions(load_params(ROOT / "params.yaml"))
    check_expressions(load_params_text(SMALL))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("due - interval 2 days", "duee - interval 2 days", r"tables\.jobs\.known_at.*did you mean `due`"),
        ("due - interval 2 days", "size", r"tables\.jobs\.known_at: `size` is DOUBLE, and must be a timestamp"),
        ("at: due - interval 1 hour", "at: size - interval 1 hour", r"prediction\.at: .* cannot be computed"),
        (
            "value: late > 10",
            "value: late",
            r"prediction\.label\.value: `late` is DOUBLE, and must be true, false or null",
        ),
        ("hour(local(due))", "hour(local(size))", r"features\.row\.hour: .* cannot be computed"),
        ("mean: late > 10", "mean: later", r"features\.trailing\.team_late_3d\.mean: .*did you mean `late`"),
        ("mean: late > 10", "mean: team", r"team_late_3d\.mean: `team` is VARCHAR, and must be a number"),
        ("mean: late > 10", "mean: sum(late) over ()", "not of the row alone"),
        ("by: [team]", "by: [crew]", r"team_late_3d\.by: `crew` is not a column of `outcomes`"),
        ("by: [team]", "by: {team: size}", r"`outcomes\.team` is VARCHAR and `jobs\.size` is DOUBLE"),
        ("categorical: [team]", "categorical: []", "the feature `team` is VARCHAR"),
        ("team_late_3d:", "size:", "defined twice|has the name of a column"),
        ("team_late_3d:", "due:", "the feature `due` has the name of a column of `jobs`"),
        ("size: {type: float64", "_known_at: {type: float64", "`_known_at` is taken by Evergreen"),
        ("hour: hour", "Size: hour", "`size` and `Size` differ in case only"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(ParamsError, match=message):
        check_expressions(load_params_text(SMALL.replace(old, new)))
