"""The trials of a search in Optuna's storage: a journal in the home, written by any number of processes at once.

A trial is claimed by a lock that its process holds and the system frees when it dies. So a finished trial is never run
again, one that was killed is, and no two processes run the same one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evergreen.faults import point
from evergreen.locks import attempt, discard, lock
from evergreen.paths import Home
from evergreen.search.plan import Plan
from evergreen.search.score import sign
from evergreen.search.space import sampler, suggest
from evergreen.training.chosen import State, Trial

if TYPE_CHECKING:
    import optuna

_AS_CONFIGURED = "as configured"  # a study of its own: its trial has no parameters, and Optuna learns from those


class Running:
    """A trial that this process runs: scores are reported as they come; one that never `ended` is run again."""

    def __init__(self, study: optuna.Study, trial: optuna.Trial, number: int, sign: int) -> None:
        self._study, self._trial, self._sign = study, trial, sign
        self.number, self.parameters = number, dict(trial.params)
        self._scores: list[float] = []

    def now(self) -> Trial:
        """It as it is now."""
        return self._told("running")

    def report(self, score: float) -> Trial:
        """Keep the score of the next fold."""
        self._scores.append(score)
        self._trial.report(self._sign * self._mean(), len(self._scores) - 1)
        return self.now()

    def is_hopeless(self) -> bool:
        """Whether other trials were better by the median after as many folds."""
        return bool(self._trial.should_prune())

    def ended(self, state: State, why: str | None = None) -> Trial:
        """Keep how it ended: `complete`, `pruned` or `failed`."""
        told = self._told(state, why)
        self._trial.set_user_attr("told", told.model_dump(mode="json"))
        point("search.ending")
        _tell(self._study, self._trial.number, told, self._sign)
        point("search.ended")
        return told

    def dropped(self) -> None:
        """Forget it, since the time is up."""
        _tell(self._study, self._trial.number, None, self._sign)

    def _mean(self) -> float:
        return sum(self._scores) / len(self._scores)

    def _told(self, state: State, why: str | None = None) -> Trial:
        score = self._mean() if state == "complete" else None
        return Trial(
            number=self.number,
            parameters=self.parameters,
            state=state,
            scores=tuple(self._scores),
            score=score,
            why=why,
        )


class Study:
    """The finished trials of a plan, and those that are to be run."""

    def __init__(self, home: Home, plan: Plan) -> None:
        self._home, self._plan = home, plan
        self._name = f"{plan.params.name}/search/{plan.id}"
        self._storage = _storage(home, journal(home, plan.params.name, plan.id), self._name)
        self._studies = {number: self._open(_AS_CONFIGURED if number == 0 else "trials") for number in (0, 1)}

    def finished(self) -> dict[int, Trial]:
        """The trials that ended, by number."""
        told = [
            Trial.model_validate(found.user_attrs["told"])
            for study in self._studies.values()
            for found in study.get_trials(deepcopy=False)
            if found.state.is_finished() and "told" in found.user_attrs
        ]
        return {trial.number: trial for trial in sorted(told, key=lambda trial: trial.number) if self._planned(trial)}

    def start(self) -> None:
        """Begin to count the budget: whoever starts or resumes a search has all of it."""
        budget = self._plan.search.budget
        self._studies[0].set_user_attr("deadline", None if budget is None else time.time() + budget.total_seconds())
        point("search.started")

    def is_begun(self) -> bool:
        """Whether the budget is being counted."""
        return "deadline" in self._studies[0].user_attrs

    def is_over(self) -> bool:
        """Whether the budget is spent."""
        deadline = self._studies[0].user_attrs.get("deadline")
        return deadline is not None and time.time() > deadline

    def close(self) -> None:
        """Remove its locks: there may be thousands of trials, and who comes now finds them ended."""
        discard(self._home, self._name)

    @contextmanager
    def claimed(self, number: int, outwait: bool = False) -> Iterator[Running | None]:
        """The trial of that number, to be run by this process; None where it has ended, or another process runs it.

        With `outwait` one is waited for that may have been killed, as `attempt` does.
        """
        with ExitStack() as held:
            if not held.enter_context(attempt(self._home, f"{self._name}/{number}", outwait)):
                yield None
                return
            study, direction = self._studies[min(number, 1)], sign(self._plan.metric)
            for left in study.get_trials(deepcopy=False):  # by a process that was killed, perhaps as it told the end
                if not left.state.is_finished() and left.user_attrs.get("number") == number:
                    told = left.user_attrs.get("told")
                    _tell(study, left.number, told and Trial.model_validate(told), direction)
            if number in self.finished():
                yield None
                return
            yield Running(study, self._asked(study, number), number, direction)

    def _asked(self, study: optuna.Study, number: int) -> optuna.Trial:
        if number:
            study.sampler = sampler(self._plan.search, number)
        trial = study.ask()
        trial.set_user_attr("number", number)  # before its values: a trial that is killed from here on is known by it
        point("search.asked")
        for name, parameter in self._plan.search.space.items() if number else ():
            suggest(trial, name, parameter)
        return trial

    def _open(self, what: str) -> optuna.Study:
        import optuna

        search = self._plan.search
        pruner: Any = optuna.pruners.NopPruner()
        if search.method == "optuna" and search.prune:
            pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
        return optuna.create_study(
            storage=self._storage, study_name=f"{self._plan.id} {what}", pruner=pruner, load_if_exists=True
        )

    def _planned(self, trial: Trial) -> bool:
        return trial.number in self._plan.numbers


def journal(home: Home, name: str, search: str) -> Path:
    """Where the trials of a search are kept."""
    return home.searches(name) / f"{search}.journal"


def best(trials: Sequence[Trial], metric: str) -> Trial | None:
    """The complete trial with the best score, the first of equals; None without one."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return min(complete, key=lambda trial: (sign(metric) * (trial.score or 0.0), trial.number), default=None)


class _Lock:
    """Optuna's lock of a journal, freed when its process dies: Optuna's own waits half a minute for a dead one."""

    def __init__(self, home: Home, name: str) -> None:
        self._home, self._name, self._held = home, name, ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(lock(self._home, f"{self._name}/journal"))
        return True

    def release(self) -> None:
        self._held.close()


def _storage(home: Home, path: Path, name: str) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    ours: Any = _Lock(home, name)  # the base class of such locks is not public
    return JournalStorage(JournalFileBackend(str(path), ours))


def _tell(study: optuna.Study, number: int, told: Trial | None, sign: int) -> None:
    """End one of Optuna's trials, by its number there; one without a result is run again."""
    from optuna.trial import TrialState

    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    value = None if told is None or told.score is None else sign * told.score
    study.tell(number, value, state=states.get(told.state, TrialState.FAIL) if told else TrialState.FAIL)
