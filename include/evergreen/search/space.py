"""What is tried: the values of a trial, and the sampler that gives a trial its values."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any

from evergreen.errors import ParamsError
from evergreen.params import Params
from evergreen.params.base import nearest
from evergreen.params.search import Parameter, Search
from evergreen.training.estimators import find

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler

STARTUP = 10  # of Optuna's trials are random: it learns from what they gave


def check_space(params: Params) -> None:
    """Raise ParamsError for a parameter that the estimator does not have, naming those that it has."""
    kind = params.prediction.label.kind
    estimator = find(params.training.estimator, kind)
    known = estimator.known_options(kind)
    for name in params.search.space:
        if name not in known:
            raise ParamsError(
                f"search.space: {estimator.name} has no option `{name}` that can be searched; {nearest(name, known)}"
            )


def suggest(trial: optuna.Trial, name: str, parameter: Parameter) -> None:
    """Give a trial its value of a parameter, by the study's sampler."""
    if parameter.choices is not None:
        trial.suggest_categorical(name, parameter.choices)
        return
    low, high = parameter.range
    if parameter.step is not None:  # Optuna warns of a range that its steps do not end
        high = float(str(parameter.points()[-1]))
    if parameter.int_ is not None:
        trial.suggest_int(name, int(low), int(high), step=int(parameter.step or 1), log=parameter.log)
    else:
        trial.suggest_float(name, low, high, step=parameter.step, log=parameter.log)


def sampler(search: Search, number: int) -> BaseSampler:
    """The sampler of one trial: its seed is of the search and the trial's number, so any process gives it the same.

    The values of a grid and of a random search hang on nothing else. Optuna's hang on the trials finished by then.
    """
    from optuna import samplers

    digest = hashlib.sha256(f"{search.seed}/{number}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    if search.method == "grid":
        return _point(grid(search.space)[number - 1])
    if search.method == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)


def grid(space: dict[str, Parameter]) -> list[dict[str, Any]]:
    """Every point of a grid, the last parameter's values changing first."""
    names = list(space)
    values = itertools.product(*(parameter.points() for parameter in space.values()))
    return [dict(zip(names, point, strict=True)) for point in values]


def _point(values: dict[str, Any]) -> BaseSampler:
    """A sampler that gives one point of a grid."""
    from optuna.samplers import BaseSampler

    class Point(BaseSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return values[param_name]

    return Point()
