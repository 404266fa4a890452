"""The fits of one training run, on one or two processes, with the same bytes either way.

Every process reads the features from the build's own file, so what passes between them are row numbers, pickled
models and predictions.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.errors import EvergreenError
from evergreen.training.artifacts import dump_model, predict
from evergreen.training.frame import inputs, read_frame
from evergreen.training.pipeline import Recipe, fit
from evergreen.training.threads import one_thread

if TYPE_CHECKING:
    import pandas as pd

# Below, starting a process costs more than it gains; above, two copies of the features cost too much memory.
PARALLEL_ROWS = range(20_000, 2_000_000)


@dataclass(frozen=True)
class Job:
    """Fit `recipe` on the rows numbered `rows`; then predict those numbered `predict`, and keep the model or not."""

    name: str
    recipe: Recipe
    rows: Any
    predict: Any = None
    keep: bool = True


@dataclass(frozen=True)
class Fitted:
    """A job's outcome: the model's pickle where kept, and what it predicts, as `artifacts.predict` gives it."""

    name: str
    model: bytes | None
    p: Any


def run(path: Path, jobs: Sequence[Job], processes: int | None = None) -> Iterator[Fitted]:
    """Run `jobs` on the feature table at `path`, giving each as it is finished.

    `processes` defaults to two where the machine has two and the table is neither small nor huge. An
    EvergreenError says which fit scikit-learn refused and why; the jobs not yet begun are dropped.
    """
    count = _processes(max(len(job.rows) for job in jobs)) if processes is None else processes
    if count == 1:
        table = _load(path, jobs[0].recipe.names, jobs[0].recipe.categorical)
        yield from (_fit(job, *table) for job in jobs)
        return
    yield from _shared(path, jobs)


def _shared(path: Path, jobs: Sequence[Job]) -> Iterator[Fitted]:
    """Run `jobs` here and in one process beside this one, each taking the next job when it is free."""
    todo, done = deque(jobs), deque[Fitted]()
    # Spawned, not forked: a fork of a process whose Arrow or OpenMP threads have run can hang.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool,
        ThreadPoolExecutor(1) as feeder,
    ):
        other = feeder.submit(_feed, pool, path, todo, done)
        try:
            table = _load(path, jobs[0].recipe.names, jobs[0].recipe.categorical)
            while (job := _next(todo)) is not None:
                yield _fit(job, *table)
                while done:
                    yield done.popleft()
                if other.done():
                    other.result()  # an error there ends the work here
            other.result()
            yield from done
        finally:
            todo.clear()


def _feed(pool: ProcessPoolExecutor, path: Path, todo: deque[Job], done: deque[Fitted]) -> None:
    while (job := _next(todo)) is not None:
        done.append(pool.submit(fit_here, path, job).result())


def _next(todo: deque[Job]) -> Job | None:
    try:
        return todo.popleft()
    except IndexError:
        return None


def _fit(job: Job, rows: pd.DataFrame, labels: Any) -> Fitted:
    with one_thread():
        try:
            model = fit(job.recipe, rows.iloc[job.rows], labels[job.rows])
        except ValueError as error:  # how scikit-learn refuses an option's value, or rows that are too few for it
            true = f" ({int(labels[job.rows].sum())} true)" if job.recipe.kind == "binary" else ""
            raise EvergreenError(
                f"the estimator of `{job.name}` cannot be fitted to {len(job.rows)} rows{true}: {error}. "
                "Look at training.options in params.yaml, or wait for more labels"
            ) from error
        p = None if job.predict is None else predict(model, rows.iloc[job.predict])
    return Fitted(job.name, dump_model(model) if job.keep else None, p)


def fit_here(path: Path, job: Job) -> Fitted:
    """Fit one job in this process, which keeps the table at `path` for the next one."""
    return _fit(job, *_load_once(path, job.recipe.names, job.recipe.categorical))


def _load(path: Path, names: tuple[str, ...], categorical: tuple[str, ...]) -> tuple[pd.DataFrame, Any]:
    frame = read_frame(path, [*names, "_label"])
    return inputs(frame, names, categorical), frame["_label"].to_numpy(dtype="float64")


# Only where a process fits one table again and again.
_load_once = lru_cache(maxsize=1)(_load)


def _processes(rows: int) -> int:
    daemon = multiprocessing.current_process().daemon  # may not have children
    return 2 if rows in PARALLEL_ROWS and (os.cpu_count() or 1) > 1 and not daemon else 1


def end_with_parent() -> None:
    """End this worker when its parent dies, even by SIGKILL: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
