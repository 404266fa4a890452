"""Running trials: fold by fold, until the plan is done or the time is up."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from evergreen.errors import EvergreenError
from evergreen.faults import point
from evergreen.project import Project
from evergreen.search.plan import Plan
from evergreen.search.score import score
from evergreen.search.study import Running, Study, best
from evergreen.training.fitting import Job, run
from evergreen.training.pipeline import Recipe
from evergreen.training.threads import one_thread

if TYPE_CHECKING:
    from evergreen.registry.trials import Watch

log = logging.getLogger(__name__)

# How an estimator refuses values of its options, or chokes on them. What else it may raise is a defect and ends the
# search: a full disk is no property of a trial.
REFUSALS = (EvergreenError, ValueError, TypeError, ArithmeticError, MemoryError)


def work(project: Project, plan: Plan, study: Study, show: Callable[[str], None]) -> None:
    """Run the trials that nobody has run or runs, in order, showing each in MLflow where a build is watched there.

    `show` is told of each trial that has ended.

    A budget that is spent ends it between two folds; the options as configured are always tried.
    """
    from evergreen.registry.trials import watched

    with one_thread(), watched(project) as watch:
        left: Sequence[int] = plan.numbers
        for outwait in (False, True):  # at last, those of workers that may have been lost
            elsewhere = []
            for number in left:
                if number and study.is_over():
                    log.warning("the budget of the search is spent: it ends with the best so far")
                    return
                if number in study.finished():
                    continue
                with study.claimed(number, outwait) as trial:
                    if trial is None:
                        elsewhere.append(number)
                        continue
                    _run(plan, study, trial, watch)
                    show(_told(plan, study, number))
            left = elsewhere


def _told(plan: Plan, study: Study, number: int) -> str:
    """A line on a trial that has ended, or that the budget cut off, and on how far the search is."""
    ended = study.finished()
    one, leader = ended.get(number), best(list(ended.values()), plan.metric)
    what = ", ".join(f"{name} {value}" for name, value in one.parameters.items()) if one else ""
    said = "not ended" if one is None else one.state if one.score is None else f"{plan.metric} {one.score:.5g}"
    found = "" if leader is None else f", best {leader.score:.5g} by trial {leader.number}"
    return f"trial {number} ({what or 'as configured'}): {said}; {len(ended)} of {len(plan.numbers)} have ended{found}"


def _run(plan: Plan, study: Study, trial: Running, watch: Watch) -> None:
    try:
        _fit_folds(plan, study, trial, watch)
    except REFUSALS as error:
        told = trial.ended("failed", f"{type(error).__name__}: {error}"[:500])
        log.warning("trial %d (%s) failed: %s", told.number, told.parameters, told.why)
        watch.show(told)


def _fit_folds(plan: Plan, study: Study, trial: Running, watch: Watch) -> None:
    recipe, metric, folds = Recipe.candidate(plan.params, trial.parameters), plan.metric, plan.cut.folds
    watch.show(trial.now())
    jobs = [Job(fold.name, recipe, fold.train, fold.validate, keep=False) for fold in folds]
    # One process: workers are what runs trials side by side.
    for number, (fold, fitted) in enumerate(zip(folds, run(plan.path, jobs, processes=1), strict=True), 1):
        found = score(metric, plan.params.prediction.label.kind, plan.labels[fold.validate], fitted.p)
        if not math.isfinite(found):
            raise EvergreenError(f"{metric} is {found} in {fold.name}")
        watch.show(trial.report(found))
        point("search.fold")
        if number == len(folds):
            watch.show(trial.ended("complete"))
        elif trial.number and study.is_over():
            trial.dropped()
            watch.forget(trial.number)
            return
        elif trial.number and trial.is_hopeless():
            watch.show(trial.ended("pruned"))
            return
