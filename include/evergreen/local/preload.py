"""What Airflow's scheduler or a Celery worker imports before it forks, and what its children do after the fork.

LocalExecutor's workers, and the tasks that they fork, share the scheduler's modules, those of Celery its first
process's: imported once here, the libraries cost no task anything. Nothing of Evergreen itself is imported, so a task
runs the library as it is on disk. None of these imports opens a connection or starts a Python thread
(tests/local/test_preload.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import signal
import sys
import warnings

HEAVY = (
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "pyarrow.dataset",
    "duckdb",
    "ibis.backends.duckdb",
    "sqlglot",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "sklearn.compose",
    "matplotlib.figure",
    "mlflow.sklearn",
    "skops.io",
    "great_expectations",
    "evidently.presets",
    "ruamel.yaml",
)
# A worker is a child of the scheduler, or of Celery's first process, a task a child of a worker. What a task forks
# itself is its own matter.
GUARDED_DEPTH = 2
PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)
_depth = 0
_parent = 0


def install() -> None:
    """Preload and guard, in the process that forks the tasks only."""
    if not _forks_tasks(sys.argv[1:]):
        return
    preload(HEAVY)
    os.register_at_fork(before=_remember_parent, after_in_child=_after_fork)


def _forks_tasks(command: list[str]) -> bool:
    if command[:2] == ["celery", "worker"]:
        return True
    return command[:1] == ["scheduler"] and os.environ.get("AIRFLOW__CORE__EXECUTOR") != "CeleryExecutor"


def preload(modules: tuple[str, ...]) -> None:
    """Import the modules; one that fails is logged, and fails again in the task that needs it."""
    # It logs a line for each function that it does not document, some hundreds.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # skops looks at every attribute of every loaded module, Airflow's deprecated ones among them.
        warnings.simplefilter("ignore")
        for module in modules:
            try:
                importlib.import_module(module)
            except Exception:
                log.warning("%s cannot be imported before tasks need it", module, exc_info=True)


def _remember_parent() -> None:
    global _parent
    _parent = os.getpid()


def _after_fork() -> None:
    global _depth
    _depth += 1
    if _depth <= GUARDED_DEPTH:
        _die_with_parent()
    _reseed()


def _die_with_parent() -> None:
    """Linux: be killed when the parent dies, so that no worker or task outlives a killed scheduler."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != _parent:  # it died between the fork and the call
        os.kill(os.getpid(), signal.SIGKILL)


def _reseed() -> None:
    """Give each fork random numbers of its own; without, an unseeded fit is the same in every task."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        with contextlib.suppress(Exception):
            numpy.random.seed()  # the old global generator is the one that is inherited
