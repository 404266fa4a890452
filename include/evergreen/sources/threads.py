"""Work on a stream in threads, in order and with a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(act: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result, None, None]:
    """What `act` makes of each item, in their order; so many threads work on the next ones meanwhile.

    `items` is walked by whoever asks; about as many of them as there are threads wait to be worked on.
    """
    with ThreadPoolExecutor(threads, "in-order") as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(act, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
