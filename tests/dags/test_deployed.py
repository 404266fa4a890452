"""At which moment a task stands: as its run was told, else the event, else the interval's end, else now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from evergreen.clock import format_time, set_replay
from evergreen.errors import EvergreenError
from evergreen.project import Project
from tests.data import day

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own

NOW = day(80)


@pytest.fixture
def stands(make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., datetime]]:
    """Ask `as_of` in a run with these Params, asset events and interval; the clock stands at NOW."""
    from airflow.sdk.execution_time.context import set_current_context

    import deployed

    project = make_project()
    set_replay(project.home, NOW)
    monkeypatch.setenv("EVERGREEN_PROJECTS", str(project.root))
    deployed.projects.cache_clear()

    def ask(given: str | None = None, told: list[datetime | None] | None = None, end: datetime | None = None) -> Any:
        events = [SimpleNamespace(extra={"as_of": format_time(one)} if one else {}) for one in told or []]
        context: Any = {
            "params": {"as_of": given},
            "triggering_asset_events": {"small_clean": events} if told is not None else None,
            "dag_run": SimpleNamespace(data_interval_end=end),
        }
        with set_current_context(context):
            return deployed.as_of("small")

    yield ask
    deployed.projects.cache_clear()


def test_a_run_that_was_told_stands_there(stands: Callable[..., datetime]) -> None:
    assert stands("2024-02-01T07:00:00+02:00", told=[day(70)], end=day(71)) == datetime(2024, 2, 1, 5, tzinfo=UTC)


def test_else_where_the_newest_event_says(stands: Callable[..., datetime]) -> None:
    assert stands(told=[day(69), day(70), day(68), None], end=day(71)) == day(70)


def test_else_at_the_end_of_the_interval_but_not_after_now(stands: Callable[..., datetime]) -> None:
    assert stands(told=[], end=day(71)) == day(71)
    assert stands(told=[None], end=day(71)) == day(71)
    assert stands(end=day(81)) == NOW


def test_else_now(stands: Callable[..., datetime]) -> None:
    assert stands() == NOW


def test_no_run_stands_in_the_future(stands: Callable[..., datetime]) -> None:
    with pytest.raises(EvergreenError, match="lies in the future"):
        stands(format_time(day(81)))
