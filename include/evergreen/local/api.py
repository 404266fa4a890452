"""Driving the local Airflow over its REST API: unpause, trigger, wait, and say why a run failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from evergreen.clock import format_time
from evergreen.errors import ServerError
from evergreen.local.airflow import USER, password
from evergreen.local.health import client
from evergreen.local.ports import current_ports
from evergreen.paths import Home

if TYPE_CHECKING:
    import httpx

ENDED = ("success", "failed")


@dataclass(frozen=True)
class Run:
    """A DAG run. `state` is queued, running, success or failed."""

    dag: str
    id: str
    state: str


@dataclass(frozen=True)
class Task:
    """A task of a run. `state` is None until it is scheduled; `map_index` is -1 where it is not mapped."""

    id: str
    map_index: int
    state: str | None
    try_number: int
    label: str


class AirflowApi:
    """The API of the stack at `home`, as its admin. Every method raises ServerError when it is not answered."""

    def __init__(self, home: Home, url: str | None = None) -> None:
        self.url = url or current_ports(home).airflow_url
        self._home = home
        self._http = client(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def wait_for_dag(self, dag: str, timeout: float = 60) -> None:
        """Return when Airflow has read the DAG; raise with the files that it cannot import."""
        deadline = time.monotonic() + timeout
        while self._request("GET", f"/dags/{_part(dag)}", missing=True) is None:
            if time.monotonic() > deadline:
                broken = "".join(f"\n{file}: {text}" for file, text in self.import_errors().items())
                raise ServerError(f"Airflow does not know the DAG `{dag}` after {timeout:.0f} s{broken}")
            time.sleep(0.3)

    def import_errors(self) -> dict[str, str]:
        """The DAG files that Airflow cannot import, and why."""
        found = self._request("GET", "/importErrors", params={"limit": 100})
        return {error["filename"]: error["stack_trace"] for error in found["import_errors"]}

    def unpause(self, dag: str, paused: bool = False) -> None:
        """Let the scheduler run a DAG; its latest interval, if it has a schedule, runs at once."""
        self._request("PATCH", f"/dags/{_part(dag)}", json={"is_paused": paused})

    def trigger(
        self,
        dag: str,
        conf: Mapping[str, Any] | None = None,
        *,
        as_of: datetime | None = None,
        logical_date: datetime | None = None,
    ) -> Run:
        """Ask for a run. `as_of` becomes its Param; a logical date that a run has already is refused."""
        given = {**(conf or {}), **({"as_of": format_time(as_of)} if as_of else {})}
        body = {"conf": given, "logical_date": format_time(logical_date) if logical_date else None}
        return _run(self._request("POST", f"/dags/{_part(dag)}/dagRuns", json=body))

    def run(self, dag: str, run_id: str) -> Run:
        """The run as it is now."""
        return _run(self._request("GET", _run_path(dag, run_id)))

    def runs(self, dag: str, limit: int = 20) -> list[Run]:
        """The DAG's runs, newest first."""
        found = self._request("GET", f"/dags/{_part(dag)}/dagRuns", params={"limit": limit, "order_by": "-run_after"})
        return [_run(run) for run in found["dag_runs"]]

    def tasks(self, run: Run) -> list[Task]:
        """The run's tasks and the state of each."""
        path = f"{_run_path(run.dag, run.id)}/taskInstances"
        return [_task(task) for task in self._pages(path, "task_instances")]

    def wait(
        self, run: Run, timeout: float, *, check: bool = True, on_task: Callable[[Task], None] | None = None
    ) -> Run:
        """Return when the run has ended; `on_task` hears of each change of a task's state.

        Raises ServerError after `timeout` seconds, and where `check` is set for a failed run: it names the tasks that
        failed, with the end of their logs.
        """
        deadline, seen = time.monotonic() + timeout, dict[tuple[str, int], str | None]()
        while True:
            now = self.run(run.dag, run.id)
            if on_task is not None:
                self._report(now, seen, on_task)
            if now.state in ENDED:
                break
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{now.dag} `{now.id}` is still {now.state} after {timeout:.0f} s. {self._where(now)}"
                )
            time.sleep(0.25)
        if check and now.state == "failed":
            raise ServerError(f"{now.dag} `{now.id}` failed. {self._where(now)}")
        return now

    def log(self, run: Run, task: Task, lines: int = 15) -> str:
        """The last lines of a task's log, one event a line."""
        path = f"{_run_path(run.dag, run.id)}/taskInstances/{_part(task.id)}/logs/{task.try_number}"
        found = self._request("GET", path, params={"map_index": task.map_index, "full_content": True}, missing=True)
        texts = [text for event in (found or {}).get("content", []) for text in _lines(event)]
        shown = [text for text in texts if not text.startswith(("::group::", "::endgroup::"))]
        return "\n".join(f"    {text}" for text in shown[-lines:]) or "    (no log)"

    def _report(self, run: Run, seen: dict[tuple[str, int], str | None], on_task: Callable[[Task], None]) -> None:
        for task in self.tasks(run):
            key = (task.id, task.map_index)
            if seen.get(key) != task.state:
                seen[key] = task.state
                on_task(task)

    def _where(self, run: Run) -> str:
        """The tasks to look at: those that failed with their logs, else those under way, and the page."""
        tasks = self.tasks(run)
        failed = [task for task in tasks if task.state == "failed"]
        page = f"See {self.url}/dags/{_part(run.dag)}/runs/{_part(run.id)}"
        if failed:
            logs = "".join(f"\n{task.label} failed:\n{self.log(run, task)}" for task in failed[:3])
            return f"Failed: {', '.join(task.label for task in failed)}. {page}{logs}"
        waiting = [f"{task.label} ({task.state})" for task in tasks if task.state not in ("success", "skipped", None)]
        return f"Under way: {', '.join(waiting) or 'nothing'}. {page}"

    def _pages(self, path: str, key: str) -> Iterator[Any]:
        offset = 0
        while True:
            found = self._request("GET", path, params={"limit": 100, "offset": offset})
            yield from found[key]
            offset += len(found[key])
            if not found[key] or offset >= found["total_entries"]:
                return

    def _request(self, method: str, path: str, *, missing: bool = False, **options: Any) -> Any:
        """The decoded answer; None for 404 where `missing` may be."""
        with _reachable(self.url):
            if "Authorization" not in self._http.headers:
                self._log_in()
            answer = self._http.request(method, f"{self.url}/api/v2{path}", **options)
            if answer.status_code == 401:  # the token lives for a day; a stack may live longer
                self._log_in()
                answer = self._http.request(method, f"{self.url}/api/v2{path}", **options)
        if answer.status_code == 404 and missing:
            return None
        return _decoded(answer)

    def _log_in(self) -> None:
        given = {"username": USER, "password": password(self._home)}
        token = _decoded(self._http.post(f"{self.url}/auth/token", json=given))["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.HTTPError as error:
        raise ServerError(f"Airflow does not answer at {url} ({error}): see `evergreen status`") from None


def _decoded(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else None
    what = f"{answer.request.method} {answer.request.url.path}"
    raise ServerError(f"Airflow refused {what}: {answer.status_code} {answer.text[:500]}")


def _part(text: str) -> str:
    return quote(text, safe="")


def _run_path(dag: str, run_id: str) -> str:
    return f"/dags/{_part(dag)}/dagRuns/{_part(run_id)}"


def _run(found: Mapping[str, Any]) -> Run:
    return Run(found["dag_id"], found["dag_run_id"], found["state"])


def _task(found: Mapping[str, Any]) -> Task:
    index = found["map_index"]
    name = found.get("rendered_map_index") or index
    label = found["task_id"] if index < 0 else f"{found['task_id']} [{name}]"
    return Task(found["task_id"], index, found["state"], found["try_number"], label)


def _lines(event: Any) -> list[str]:
    """A structured log event as text: its message, and the error that it carries."""
    if not isinstance(event, dict):
        return str(event).splitlines()
    errors = [f"{detail.get('exc_type')}: {detail.get('exc_value')}" for detail in event.get("error_detail") or []]
    return [*str(event.get("event", "")).splitlines(), *errors]
