"""search: which of the estimator's options do best on the rows known before the gate window.

A stage of its own, and no DVC stage: how far a search comes in its time, or which trials Optuna tries side by side, is
no function of its inputs. What it chose is written to search.json, which is committed and which `train` reads.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from evergreen.disk import full_disk_is_said
from evergreen.errors import EvergreenError, RegistryError
from evergreen.faults import point
from evergreen.project import Project
from evergreen.search.plan import Plan, plan_search
from evergreen.search.study import Study, best
from evergreen.search.work import work
from evergreen.training.chosen import NONE, FoldRows, SearchRecord, Trial

log = logging.getLogger(__name__)

Step = Literal["plan", "trials", "choose"]


class SearchResult(BaseModel):
    """How far the search is; the figures of what was chosen are null until it has ended."""

    model_config = ConfigDict(frozen=True)

    search: str | None  # its id; null where there is none
    planned: int = 0  # trials, that of the options as configured among them
    ended: int = 0
    failed: int = 0
    pruned: int = 0
    metric: str | None = None
    as_configured: float | None = None  # the score of training.options alone
    score: float | None = None  # that of what was chosen
    chosen: dict[str, bool | int | float | str | None] = {}


@full_disk_is_said()
def search(project: Project, step: Step | None = None, show: Callable[[str], None] = log.info) -> SearchResult:
    """Search, and write search.json; what was interrupted goes on, and what has ended is not run again.

    `step` does one part alone, for tasks of their own: `plan` starts the budget, `trials` runs what nobody runs (any
    number of processes may), `choose` writes search.json. `show` is told of each trial that ends. Raises EvergreenError
    where nothing is to be searched, no fold can be used, every trial failed, or trials are still missing.
    """
    plan = plan_search(project)
    study = Study(project.home, plan)
    for text in plan.cut.left_out if step in (None, "plan") else ():
        log.warning("left out: %s", text)
    if step in (None, "plan") or (step == "trials" and not study.is_begun()):
        study.start()
    if step is None and plan.search.parallel > 1:
        _work_side_by_side(project, plan.search.parallel, show)
    elif step in (None, "trials"):
        work(project, plan, study, show)
    trials = list(study.finished().values())
    if step not in (None, "choose"):
        return _result(plan, trials)
    record = _record(plan, trials, study.is_over())
    _complete(project, trials)
    record.write(project.search)
    point("search.written")
    study.close()
    return _result(plan, trials, record)


def search_nothing(project: Project) -> SearchResult:
    """Write a search.json that holds no search: `train` takes training.options alone."""
    NONE.write(project.search)
    return SearchResult(search=None)


def _record(plan: Plan, trials: list[Trial], over: bool) -> SearchRecord:
    missing = len(plan.numbers) - len(trials)
    if not trials or (missing and not over):
        raise EvergreenError(
            f"{missing} of {len(plan.numbers)} trials of the search {plan.id} have not ended: run its trials again "
            "(`evergreen search`); those that have are kept"
        )
    winner = best(trials, plan.metric)
    if winner is None:
        first = next((trial.why for trial in trials if trial.why), "")
        raise EvergreenError(
            f"none of {len(trials)} trials gave a score, so there is nothing to choose; the first said: {first}"
        )
    return SearchRecord(
        method=plan.search.method,
        estimator=plan.params.training.estimator,
        space=plan.search.space_as_json(),
        seed=plan.search.seed,
        metric=plan.metric,
        cutoff=plan.cutoff,
        features=plan.features,
        folds=tuple(
            FoldRows(cutoff=fold.cutoff, train=len(fold.train), judge=len(fold.validate)) for fold in plan.cut.folds
        ),
        left_out=plan.cut.left_out,
        planned=plan.search.count,
        ended="budget" if missing else "complete",
        trials=tuple(trials),
        best=winner.number,
        chosen=winner.parameters,
    )


def _result(plan: Plan, trials: list[Trial], record: SearchRecord | None = None) -> SearchResult:
    scores = {trial.number: trial.score for trial in trials}
    return SearchResult(
        search=plan.id,
        planned=len(plan.numbers),
        ended=len(trials),
        failed=sum(trial.state == "failed" for trial in trials),
        pruned=sum(trial.state == "pruned" for trial in trials),
        metric=plan.metric,
        as_configured=scores.get(0),
        score=scores.get(record.best) if record and record.best is not None else None,
        chosen=record.chosen if record else {},
    )


def _complete(project: Project, trials: list[Trial]) -> None:
    """Make up for what MLflow missed; where it is still away, `track` does it from search.json."""
    from evergreen.registry.trials import complete

    try:
        complete(project, trials)
    except RegistryError as error:
        log.warning("the trials are not all in MLflow yet: %s", error)


def _work_side_by_side(project: Project, processes: int, show: Callable[[str], None]) -> None:
    """Run the trials in processes that end with this one."""
    from evergreen.builds.process import run_guarded

    def tell(line: str) -> None:
        if line.startswith("trial "):  # not the result that each prints at its end
            show(line)

    command = [str(Path(sys.executable).parent / "evergreen"), "search", "--step", "trials"]
    env = os.environ | {"EVERGREEN_PROJECT": str(project.root), "EVERGREEN_HOME": str(project.home.root)}
    with ThreadPoolExecutor(processes) as pool:
        ended = list(pool.map(lambda _: run_guarded(command, project.root, env, show=tell), range(processes)))
    for one in ended:
        if one.code:
            raise EvergreenError(
                "a process of the search failed; the trials that have ended are kept, so run it again:\n"
                + "\n".join(line for line in one.tail if line)
            )
