"""Work in threads: in order, with a bound, and errors come where they belong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from evergreen.sources.threads import in_order


def test_results_come_in_order_while_other_items_are_worked_on() -> None:
    together = threading.Barrier(2)  # passed only by two at once

    def act(number: int) -> int:
        together.wait(60)
        return number * 10

    assert list(in_order(act, range(6), 2)) == [0, 10, 20, 30, 40, 50]


def test_no_more_items_are_taken_than_the_bound_allows() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with closing(in_order(str, items(), 2)) as found:
        assert [next(found) for _ in range(5)] == ["0", "1", "2", "3", "4"]
    assert len(taken) <= 5 + 2


def test_an_error_comes_in_its_place_and_ends_the_work() -> None:
    def act(number: int) -> int:
        return 10 // (3 - number)

    found = in_order(act, range(100), 2)
    assert [next(found) for _ in range(3)] == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(found)
    with pytest.raises(StopIteration):
        next(found)
