"""One thread for numeric code: the bytes of a model depend on the count, and more gain nothing here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold OpenMP and BLAS to one thread, also where they were loaded before with more."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import sklearn  # noqa: F401  loads the OpenMP that is to be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
