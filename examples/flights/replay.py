"""`make demo`: 2013 replayed through the real DAGs in the real scheduler.

Starts the stack, feeds January to March, trains and promotes the first champion, then replays the weeks of April to
June: feed, ingest, score, monitor. Nothing is simulated: the alarms are those of the data, and a retrain request starts
the retrain DAG by itself. Running it again finds what is there and doubles nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from evergreen import clock
from evergreen.errors import EvergreenError
from evergreen.ledger import Ledger
from evergreen.local import elsewhere, stack
from evergreen.local.api import AirflowApi, Run
from evergreen.project import Project
from report import print_report
from world import move_on

ZONE = ZoneInfo("America/New_York")
FIRST = datetime(2013, 4, 1, tzinfo=ZONE)
STAGES = ("ingest", "score", "monitor", "retrain")
TIMEOUT = 900.0


class Replay:
    """The loop's clock hand: moves the replayed time and lets Airflow do everything else."""

    def __init__(self, project: Project, api: AirflowApi, progress: Progress) -> None:
        self.project, self.api, self.progress = project, api, progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the phase `name`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    def say(self, text: str) -> None:
        """A line that stays above the progress display."""
        self.progress.console.print(text, highlight=False)

    def step(self, bar: TaskID, text: str) -> None:
        """Say what is being done: beside the bar, or where there is none, such as in a log, as a line."""
        self.progress.update(bar, description=text)
        if not self.progress.console.is_terminal:
            self.say(f"  {text}")

    def ingest(self, as_of: datetime) -> None:
        """Feed what became known by `as_of`, ingest it, move the clock there, and wait for the scoring it starts.

        The clock follows the ingest: a run by schedule in between must not stand where rows are still on their way.
        """
        home = self.project.home
        clock.set_replay(home, min(clock.now(home), as_of), ahead=as_of)
        with self.phase("feed"):
            move_on(self.project, as_of)
        with self.phase("ingest"):
            scored = self._asset_runs("score")
            run = self._run("ingest", as_of)
            clock.set_replay(home, as_of)
        with self.phase("score"):
            if any(task.id == "publish" and task.state == "success" for task in self.api.tasks(run)):
                self._wait_for_new("score", scored)

    def retrain(self, as_of: datetime) -> None:
        """Ask for a retrain by hand, as a person does with a new project."""
        with self.phase("first training"):
            self._run("retrain", as_of)

    def monitor(self, as_of: datetime) -> None:
        """Monitor the week; where that rings, wait for the retrain that Airflow starts by itself."""
        retrained = self._asset_runs("retrain")
        with self.phase("monitor"):
            run = self._run("monitor", as_of)
        if any(task.id == "request_retrain" and task.state == "success" for task in self.api.tasks(run)):
            self.say(f"  {as_of:%d %b}: alarm; the retrain request starts the retrain DAG")
            with self.phase("retrain on request"):
                self._wait_for_new("retrain", retrained)

    def dag(self, stage: str) -> str:
        """The id of a stage's DAG."""
        return f"{self.project.name}_{stage}"

    def _run(self, stage: str, as_of: datetime) -> Run:
        return self.api.wait(self.api.trigger(self.dag(stage), as_of=as_of), TIMEOUT)

    def _asset_runs(self, stage: str) -> set[str]:
        """The runs of a stage that an asset event started."""
        return {run.id for run in self.api.runs(self.dag(stage)) if run.id.startswith("asset_triggered")}

    def _wait_for_new(self, stage: str, known: set[str], patience: float = 60.0) -> None:
        """Wait for the run that an asset event starts; it is there within seconds of the event."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if new := self._asset_runs(stage) - known:
                self.api.wait(self.api.run(self.dag(stage), min(new)), TIMEOUT)
                return
            time.sleep(0.2)
        raise SystemExit(f"{self.dag(stage)} was not started by its asset within {patience:.0f} s")


def main() -> None:
    """Replay `--weeks` weeks (13: to the end of June)."""
    parser = argparse.ArgumentParser(prog="evergreen demo", description=__doc__)
    parser.add_argument("--weeks", type=int, default=13, choices=range(1, 40), metavar="1..39")
    weeks = parser.parse_args().weeks
    began = time.monotonic()
    project, console = Project.load(Path(__file__).parents[2]), Console()
    if not console.is_terminal:
        console = Console(width=130)  # a log is not wrapped at 80 columns
    running = elsewhere.named() or stack.up(project, progress=console.print)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with AirflowApi(project.home, elsewhere.airflow_url()) as api, Progress(*columns, console=console) as progress:
        replay = Replay(project, api, progress)
        replay.seconds["start the servers"] = time.monotonic() - began
        replayed = _replay(replay, weeks)
    print_report(console, project, replayed, replay.seconds, time.monotonic() - began, running)


def _replay(replay: Replay, weeks: int) -> list[datetime]:
    bar = replay.progress.add_task("January to March: feed, ingest", total=weeks + 2)
    clock.set_replay(replay.project.home, FIRST)
    for stage in STAGES:
        replay.api.wait_for_dag(replay.dag(stage))
        replay.api.unpause(replay.dag(stage))
    replay.ingest(FIRST)
    replay.progress.advance(bar)
    replay.step(bar, "January to March: train the first champion")
    replay.retrain(FIRST)
    champion = Ledger.open(replay.project.home).champion(replay.project.name, at=FIRST)
    replay.say(f"  {FIRST:%d %b}: the first champion is {champion.build if champion else 'missing'}")
    replay.progress.advance(bar)
    replayed = []
    for number in range(1, weeks + 1):
        as_of = FIRST + number * timedelta(days=7)
        replay.step(bar, f"week to {as_of:%d %B}: feed, ingest, score, monitor")
        replay.ingest(as_of)
        replay.monitor(as_of)
        replayed.append(as_of)
        replay.progress.advance(bar)
    return replayed


if __name__ == "__main__":
    try:
        main()
    except EvergreenError as error:
        sys.exit(f"replay: {error}")
