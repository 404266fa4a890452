"""The fits of a backtest: each is made once, whichever policies need it, and kept when it is done.

A fit is known by its content: the history, the recipe, the rows it learns from and those it predicts. So policies that
agree share it, and a backtest that was killed goes on with those that it had.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen.errors import EvergreenError
from evergreen.faults import point
from evergreen.files import write_atomic
from evergreen.training.fitting import PARALLEL_ROWS, Job, end_with_parent, fit_here

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Progress:
    """How far the fits are; `of` grows where an alarm asks for more."""

    done: int
    of: int
    what: str  # the fit that was finished last
    seconds_left: float | None  # of the fits known by now


@dataclass(frozen=True)
class Outcome:
    """What is kept of a fit: the model's hash (empty where none was wanted) and its predictions of `job.predict`."""

    sha256: str
    p: np.ndarray


class NotTrained(EvergreenError):
    """No model came of a moment's labels; in the loop the champion would go on serving."""


class Fits:
    """The fits of one history, made on one or two processes and kept in `folder`; one that was refused is known too."""

    def __init__(
        self,
        features: Path,
        folder: Path,
        history: str,
        show: Callable[[Progress], None] = lambda progress: None,
        processes: int | None = None,
    ) -> None:
        self.features, self.folder, self.history = features, folder, history
        self.made = 0  # by this run
        self._show, self._processes = show, processes
        self._done, self._of, self._rows, self._spent = 0, 0, 0, 0.0
        self._known: set[str] = set()
        self._refused: dict[str, EvergreenError] = {}
        self._pool: ProcessPoolExecutor | None = None

    def make(self, jobs: Sequence[Job]) -> None:
        """Make those of `jobs` that are not there yet, the longest first. What cannot be fitted says so when asked."""
        wanted = {self.key(job): job for job in jobs}
        missing = {
            key: job for key, job in wanted.items() if key not in self._refused and _read(self._place(key)) is None
        }
        new = wanted.keys() - self._known
        self._known |= new
        self._of, self._done = self._of + len(new), self._done + len(new - missing.keys())
        todo = sorted(missing.items(), key=lambda item: (-len(item[1].rows), item[0]))
        left = sum(len(job.rows) for _, job in todo)
        for job, spent in self._run(todo):
            self.made, self._done = self.made + 1, self._done + 1
            self._rows, self._spent, left = self._rows + len(job.rows), self._spent + spent, left - len(job.rows)
            workers = 1 if self._pool is None else 2
            seconds = self._spent / max(self._rows, 1) * left / workers
            self._show(Progress(self._done, self._of, job.name, seconds))
            point("backtest.fitted")

    def __getitem__(self, job: Job) -> Outcome:
        """The outcome of a job that was made; made now where its file is gone or damaged.

        Raises NotTrained where the estimator refuses its rows or options.
        """
        key = self.key(job)
        place = self._place(key)
        found = _read(place)
        if found is None:
            self.make([job])
            found = _read(place)
        self.require(job)
        if found is None:
            raise EvergreenError(f"{place} cannot be read although it was just written: look at the disk")
        return found

    def require(self, job: Job) -> None:
        """Raise NotTrained where the estimator refused a job that was made."""
        refused = self._refused.get(self.key(job))
        if refused is not None:
            raise NotTrained(str(refused)) from refused

    def key(self, job: Job) -> str:
        """The SHA-256 of all that a fit's outcome depends on."""
        digest = hashlib.sha256(f"{self.history} {job.recipe!r} {job.keep} ".encode())
        for rows in (job.rows, job.predict):
            digest.update(b"-" if rows is None else hashlib.sha256(rows.tobytes()).digest())
        return digest.hexdigest()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _place(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def _run(self, todo: Sequence[tuple[str, Job]]) -> Iterator[tuple[Job, float]]:
        if not todo:
            return
        if self._pool is None and self._count(max(len(job.rows) for _, job in todo)) == 1:
            for key, job in todo:
                yield job, self._spent_on(key, partial(_fit, self.features, job, self._place(key)))
            return
        if self._pool is None:
            # Spawned, not forked: a fork of a process whose Arrow or OpenMP threads have run can hang.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(2, mp_context=context, initializer=end_with_parent)
        running: dict[Future[float], tuple[str, Job]] = {
            self._pool.submit(_fit, self.features, job, self._place(key)): (key, job) for key, job in todo
        }
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    key, job = running.pop(future)
                    yield job, self._spent_on(key, future.result)
        except BrokenProcessPool:
            self._pool = None
            raise EvergreenError(
                "a process that fits models was killed, as it is where memory runs out: run the backtest again, it "
                "goes on with the fits that it has"
            ) from None
        finally:
            for future in running:
                future.cancel()

    def _spent_on(self, key: str, fitted: Callable[[], float]) -> float:
        """The seconds of a fit; one that was refused is remembered, and the others go on."""
        try:
            return fitted()
        except EvergreenError as error:
            self._refused[key] = error
            return 0.0

    def _count(self, rows: int) -> int:
        if self._processes is not None:
            return self._processes
        return 2 if rows in PARALLEL_ROWS and (os.cpu_count() or 1) > 1 else 1


def _fit(features: Path, job: Job, place: Path) -> float:
    """Fit, keep the outcome, and say how many seconds that took."""
    import numpy as np

    began = time.monotonic()
    fitted = fit_here(features, job)
    sha256 = hashlib.sha256(fitted.model).hexdigest() if fitted.model is not None else ""
    p = np.empty(0) if fitted.p is None else fitted.p
    stream = io.BytesIO()
    np.savez(stream, sha256=np.array(sha256), p=p)
    write_atomic(place, stream.getvalue())
    return time.monotonic() - began


def _read(place: Path) -> Outcome | None:
    """A kept outcome; None where it is not there, or was cut off or altered, which its checksums tell."""
    import numpy as np

    try:
        with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as found:
            return Outcome(str(found["sha256"]), found["p"])
    except (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile, RuntimeError):
        # The last is what zipfile says of a method or an encryption that nobody wrote.
        return None
