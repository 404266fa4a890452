"""What can be said of params.yaml without any data; the models of params/ have already said what they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from evergreen.errors import ParamsError
from evergreen.params.base import nearest

if TYPE_CHECKING:
    from evergreen.params import Params
    from evergreen.project import Project


def check_configuration(project: Project) -> None:
    """Raise ParamsError with every mistake found, a line each that begins with its place in params.yaml."""
    problems: list[str] = []
    for check in _checks(project):
        try:
            check()
        except ParamsError as error:
            problems += str(error).splitlines()
    if problems:
        raise ParamsError("\n".join(dict.fromkeys(problems)))


def _checks(project: Project) -> Iterator[Callable[[], object]]:
    from evergreen.features.check import check_expressions
    from evergreen.params.tracked import require_tracked
    from evergreen.quality.contract import rules_of
    from evergreen.search.space import check_space
    from evergreen.sources.catalog import check_sources
    from evergreen.training.pipeline import Recipe

    params = project.params
    yield partial(check_sources, params)
    for name, table in params.tables.items():
        yield partial(rules_of, name, table, params.time_zone)
    yield partial(_check_ranges, params)
    yield partial(check_expressions, params)
    yield partial(_check_drift_columns, params)
    yield partial(Recipe.candidate, params)  # names an option that the estimator does not have
    yield partial(check_space, params)
    yield partial(require_tracked, project.root, params)


def _check_ranges(params: Params) -> None:
    for name, table in params.tables.items():
        for column, spec in table.columns.items():
            low, high = spec.between or (None, None)
            if low is not None and high is not None and low > high:
                raise ParamsError(
                    f"tables.{name}.columns.{column}.between: no value lies between {low:g} and {high:g}; "
                    "write the lower one first"
                )


def _check_drift_columns(params: Params) -> None:
    drift, known = params.monitoring.drift, params.features.names()
    for place, names in (("columns", drift.columns or ()), ("methods", drift.methods)):
        for name in names:
            if name not in known:
                raise ParamsError(f"monitoring.drift.{place}: `{name}` is not a feature; {nearest(name, known)}")
