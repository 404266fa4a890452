"""What a `search` section may say, and what its values are."""

from __future__ import annotations

from typing import Any

import pytest

from evergreen.errors import ParamsError
from evergreen.params import load_params_text
from evergreen.params.search import Parameter, Search
from tests.conftest import SMALL


def test_values_are_a_list_or_a_range() -> None:
    assert Parameter.model_validate([15, 31, None]).points() == [15, 31, None]
    assert Parameter.model_validate({"int": [50, 170], "step": 50}).points() == [50, 100, 150]
    assert Parameter.model_validate({"float": [0.1, 0.4], "step": 0.1}).points() == [0.1, 0.2, 0.3, 0.4]
    search = Search.model_validate({"space": {"b": [1], "a": {"float": [0.1, 1], "log": True}}})
    assert search.space_as_json() == {"a": {"float": [0.1, 1.0], "log": True}, "b": {"choices": [1]}}
    assert Search.model_validate({"space": search.space_as_json()}) == search


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("{space: {max_iter: 50}}", "write the values as a list, or a range"),
        ("{space: {max_iter: {}}}", "write one of a list of values"),
        ("{space: {max_iter: {int: [1, 2], float: [1, 2]}}}", "write one of a list of values"),
        ("{space: {max_iter: {int: [50, 5]}}}", "two different finite numbers in that order"),
        ("{space: {max_iter: {float: [0, .inf]}}}", "two different finite numbers"),
        ("{space: {max_iter: {float: [0, 1], log: true}}}", "`log` needs a range above 0"),
        ("{space: {max_iter: {int: [1, 9], log: true, step: 2}}}", "exclude each other"),
        ("{space: {max_iter: {int: [1, 9], step: 0.5}}}", "that of an `int` be a whole number"),
        ("{space: {max_iter: {int: [1, 9], step: 9}}}", "must fit into the range"),
        ("{space: {max_iter: [1, 1]}}", "stands twice"),
        ("{space: {max_iter: [1, .inf]}}", "a value is not finite"),
        ("{space: {max_iter: {choices: [1], step: 1}}}", "are for ranges"),
        ("{method: grid, space: {learning_rate: {float: [0.1, 1]}}}", "a grid needs the points of `learn"),
        ("{method: grid, space: {a: {int: [1, 20], step: 1}, b: {int: [1, 20], step: 1}}}", "the grid has 400 points"),
        ("{method: grid, trials: 2, space: {a: [1, 2, 3]}}", "the grid has 3 points, more than 2"),
        ("{folds: {kind: sliding}}", "`window` is for `sliding` folds, which need it"),
        ("{folds: {kind: k_fold, gap: 1 day}}", "`gap` is for folds that go by time"),
        ("{folds: {kind: stratified, count: 1}}", "needs a `count` of at least 2"),
        ("{method: bayes}", "Known: grid, random, optuna"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_an_error_that_says_what_to_write(search: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_params_text(SMALL.replace("search: {space: {}}", f"search: {search}"))


@pytest.mark.parametrize(("given", "count"), [({}, 20), ({"trials": 7}, 7), ({"method": "grid"}, 6)])
def test_how_many_are_tried(given: dict[str, Any], count: int) -> None:
    assert Search.model_validate({"space": {"a": [1, 2], "b": [1, 2, 3]}, **given}).count == count
